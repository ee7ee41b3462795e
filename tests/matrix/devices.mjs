// Two devices through a real relay, each with its database on IndexedDB, in one engine or in two; and two tabs of one
// device. Each scenario has a relay of its own, because relays are killed here.

import assert from "node:assert/strict";
import { freshUser, until } from "../e2e/harness.mjs";
import { Link, startRelay } from "./stage/link.mjs";
import { Visit } from "./stage/visit.mjs";

/** What a browser says of a socket that was cut, and what the client says of an outage. Nothing else may stand on the console. */
const CUT = /WebSocket|can.t establish a connection|connection to ws:|^connect-failed: /i;

/** One device in each of the two engines, which may be the same. */
export async function twoDevices(app, first, second) {
  await withDevices(async ({ relay, device }) => {
    const [one, two] = [await device(app, first, "one"), await device(app, second, "two")];

    await one.add("a");
    await two.shows("a");
    await two.add("b");
    await one.shows("a", "b");

    await bothOffline(one, two);
    await one.edit("a", "a, edited there");
    await one.add("c");
    await one.shows("a, edited there", "b", "c");
    await two.edit("a", "a, edited here");
    await two.edit("b", "b, edited here");
    await two.remove("b, edited here");
    await two.add("d");
    await one.reload();
    await one.shows("a, edited there", "b", "c");
    await bothOnline(one, two);
    const rows = await equal(one, two);
    assert.ok(["a, edited here", "a, edited there"].includes(rows[0]), `one of the two edits has won everywhere: ${rows}`);
    assert.deepEqual(rows.slice(1), ["c", "d"]);

    await relay.kill();
    await one.add("e, while the relay was dead");
    await one.shows(...rows, "e, while the relay was dead");
    await two.becomes("offline", "connecting");
    await relay.start();
    await two.shows(...rows, "e, while the relay was dead");
    await equal(one, two);
  });
}

/** Two tabs on one database, and a device beside them. */
export async function twoTabs(app, engine) {
  await withDevices(async ({ device }) => {
    const leader = await device(app, engine, "desk");
    const follower = await device(app, engine, "desk", leader.link);
    const other = await device(app, engine, "other");
    await leader.becomes("live");
    await follower.becomes("standby");

    await follower.add("a, of the tab that waits");
    await leader.shows("a, of the tab that waits");
    await other.shows("a, of the tab that waits");
    await leader.close();
    await follower.becomes("live");
    await follower.add("b, of the tab that leads now");
    await other.shows("a, of the tab that waits", "b, of the tab that leads now");
    await equal(follower, other);
  });
}

async function withDevices(scenario) {
  const relay = await startRelay();
  const user = freshUser();
  const [visits, links] = [[], []];
  const device = async (app, engine, name, link) => {
    if (!link) links.push((link = await Link.to(relay, user)));
    const visit = await Visit.open(engine, app, { name: `${user}-${name}`, link });
    visits.push(visit);
    await visit.becomes("live", "standby");
    return visit;
  };
  try {
    await scenario({ relay, device });
    for (const visit of visits) visit.assertClean(CUT);
  } finally {
    await Promise.allSettled(visits.map((visit) => visit.close()));
    await Promise.allSettled(links.map((link) => link.close()));
    await relay.close();
  }
}

async function bothOffline(...visits) {
  for (const { link } of visits) link.cut();
  for (const visit of visits) await visit.becomes("offline", "connecting");
}

async function bothOnline(...visits) {
  for (const { link } of visits) link.mend();
  for (const visit of visits) await visit.becomes("live");
}

/** Waits until both hold the same and have nothing to send. */
async function equal(one, two) {
  const held = () => Promise.all([one, two].map((visit) => visit.changes()));
  const same = async () => {
    const [left, right] = await held();
    return left.join("\n") === right.join("\n");
  };
  await Promise.all([one.settled(), two.settled()]);
  await until("two devices to be equal", same, held);
  const rows = await one.rows();
  assert.deepEqual(await two.rows(), rows);
  return rows;
}
