// A table that was never made a CRR, or that `tables` misspells, looks as if it were in step: nothing of it is ever pending.
// The client says so, through the app's logger or the console. The look for a changed schema comes by the client's own clock.
import { advance } from "./clock.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";
import { device, open, PlainRelay, until } from "./harness.mjs";

const CREATE = ["t", "u"].map((name) => `CREATE TABLE ${name} (id INTEGER PRIMARY KEY NOT NULL, a)`);

/** A client on these tables, of which none is replicated yet, and the warnings that its logger is told. */
async function begun(options) {
  const db = await open();
  for (const sql of CREATE) await db.exec(sql);
  const warnings = [];
  const made = await device(new PlainRelay(), undefined, { db, logger: { warn: (...args) => warnings.push(args.join(" ")) }, ...options });
  return { ...made, db, warnings };
}

/** Pushes the clock ahead until the client has looked, and looked again. */
async function looked(check) {
  await until(async () => {
    await advance(6_000);
    return check();
  });
  for (let look = 0; look < 3; look += 1) await advance(6_000);
}

test("a database without a replicated table is warned of once, and again when the last one is gone", async () => {
  const { client, db, warnings } = await begun();
  await looked(() => warnings.length > 0);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /no table of this database is replicated: .*SELECT crsql_as_crr\('…'\)/);

  await db.exec("SELECT crsql_as_crr('t')");
  await db.exec("INSERT INTO t VALUES (1, 2)");
  await client.waitForSynced({ level: "sent" });
  await looked(() => true);
  assert.equal(warnings.length, 1);
  await db.exec("SELECT crsql_as_table('t')");
  await looked(() => warnings.length > 1);
  assert.equal(warnings.length, 2);
  await client.stop();
});

test("tables that name what is not replicated are named in the warning, and nothing else is", async () => {
  const { client, db, warnings } = await begun({ tables: ["t", "taks", "u"] });
  await db.exec("SELECT crsql_as_crr('t')");
  await looked(() => warnings.some((text) => /SELECT crsql_as_crr\('taks'\), crsql_as_crr\('u'\)/.test(text)));
  await db.exec("SELECT crsql_as_crr('u')");
  await looked(() => warnings.at(-1).endsWith("SELECT crsql_as_crr('taks')"));
  assert.match(warnings.at(-1), /^crsqlite-sync tables names what is not replicated: /);
  await client.stop();
});

test("without a logger the console is told, and where all is replicated nobody", async (context) => {
  const warn = context.mock.method(console, "warn", () => {});
  const fine = await begun({ logger: undefined, start: false });
  for (const name of ["t", "u"]) await fine.db.exec(`SELECT crsql_as_crr('${name}')`);
  await fine.client.start();
  await looked(() => fine.client.status.state !== "connecting");
  assert.equal(warn.mock.callCount(), 0);
  await fine.client.stop();

  const { client } = await begun({ logger: undefined });
  await looked(() => warn.mock.callCount() > 0);
  assert.match(warn.mock.calls[0].arguments.join(" "), /^crsqlite-sync no table of this database is replicated/);
  await client.stop();
});
