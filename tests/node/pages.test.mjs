// A log in many pages, downloaded by a new device: the next page is on its way while the one before is applied, and a page
// counts only on top of the one before.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { device, exact, until } from "./harness.mjs";
import { storingRelay } from "./storing.mjs";

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a)"];
const ROWS = 2_000;

let relay;
after(() => relay?.stop());

/** A user's log of at least ten pages, and a new device that has not started. `said`: what it asks for and what it applies, in order. */
async function newDevice(user) {
  relay ??= await storingRelay({ args: ["--answer-bytes", "30000"] });
  const a = await device(undefined, T, { transport: await relay.transport(user) });
  for (let first = 1; first <= ROWS; first += 100) {
    await a.db.exec(`WITH RECURSIVE n (id) AS (SELECT ${first} UNION ALL SELECT id + 1 FROM n WHERE id < ${first + 99}) INSERT INTO t SELECT id, 'row ' || id FROM n`);
  }
  await a.client.waitForSynced();
  const b = await device(undefined, T, { transport: await relay.transport(user), start: false });
  const said = [];
  const send = b.transport.send.bind(b.transport);
  b.transport.send = (frame) => {
    if (JSON.parse(frame).type === "sync_request") said.push("asks");
    return send(frame);
  };
  b.client.on("applied", () => said.push("applies"));
  return { a, b, said };
}

test("the next page is asked for while the one before is applied, and not more than that", async () => {
  const { a, b, said } = await newDevice("ahead");
  await b.client.start();
  await until(() => b.client.status.state === "live");
  assert.deepEqual(await exact(b.db, "t"), await exact(a.db, "t"));
  // How many pages have been asked for and are not applied when one more is.
  const open = said.flatMap((what, at) => (what === "asks" ? said.slice(0, at).filter((one) => one === "asks").length - said.slice(0, at).filter((one) => one === "applies").length : []));
  assert.ok(open.length >= 10, said.join(" "));
  assert.deepEqual(open.slice(0, 2), [0, 0], "nothing is asked ahead of the first answer, which tells whose log it is");
  assert.ok(open.slice(2).every((pages) => pages <= 1), said.join(" "));
  assert.ok(open.filter((pages) => pages === 1).length > open.length / 2, said.join(" "));
  await Promise.all([a.client.stop(), b.client.stop()]);
});

test("a page that was asked for ahead moves nothing where the one before it could not be applied", async () => {
  const { a, b, said } = await newDevice("behind");
  const lend = b.db.imperativeTx.bind(b.db);
  const failures = [];
  b.db.imperativeTx = async () => {
    // Each third page fails, with the next one on its way.
    const open = said.filter((what) => what === "asks").length - said.filter((what) => what === "applies").length;
    if (open > 1 && failures.length < 3 && said.length > 6 * (failures.length + 1)) {
      failures.push(said.length);
      throw Object.assign(new Error("disk I/O error"), { code: 10 });
    }
    return lend();
  };
  await b.client.start();
  await until(() => b.client.status.state === "live");
  assert.equal(failures.length, 3);
  assert.deepEqual(b.errors.map(({ code }) => code), Array(3).fill("database-failed"));
  assert.deepEqual(await exact(b.db, "t"), await exact(a.db, "t"));
  await Promise.all([a.client.stop(), b.client.stop()]);
});
