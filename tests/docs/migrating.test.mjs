// A database that @vlcn.io/ws-client has synced is taken over as it is: its rows, those that came from elsewhere included, go
// up once, and merge with those of a device that has some of them already.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { createDbProvider } from "@vlcn.io/ws-browserdb";
import { open } from "../node/database.mjs";
import { device, exact, settled } from "../node/harness.mjs";
import { storingRelay } from "../node/storing.mjs";

const SCHEMA = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, body TEXT, stars INTEGER);\nSELECT crsql_as_crr('notes');";
const wasm = pathToFileURL(createRequire(import.meta.url).resolve("@vlcn.io/crsqlite-wasm/crsqlite.wasm")).href;
const provider = createDbProvider(wasm);

const relay = await storingRelay();
after(() => relay.stop());

async function database(name, ...writes) {
  const db = await open(name);
  await db.automigrateTo("main.sql", SCHEMA);
  for (const sql of writes) await db.exec(sql);
  return db;
}

/** What ws-client's streams do: changes of one database since the beginning, into another, with the cursor beside them. */
async function syncedByWsClient(from, to) {
  const [source, target] = [await provider(from), await provider(to)];
  const changes = await source.pullChangeset([0n, 0], [target.siteid], false);
  await target.applyChangesetAndSetLastSeen(changes, source.siteid, [changes.at(-1)[5], 0]);
  assert.equal((await target.getLastSeens()).length, 1);
  for (const db of [source, target]) db.close(true);
  return changes.length;
}

test("what ws-client has synced stays, goes up once, and reaches a device that ws-client has never known", async () => {
  await (await database("there.db", "INSERT INTO notes VALUES ('a', 'of there', 1)")).close();
  await (await database("here.db", "INSERT INTO notes VALUES ('b', 'of here', 2)")).close();
  assert.equal(await syncedByWsClient("there.db", "here.db"), 2);

  const taken = async (name, ...writes) =>
    device(null, [], { db: await database(name, ...writes), transport: await relay.transport("alice") });
  const here = await taken("here.db", "UPDATE notes SET stars = 3 WHERE id = 'a'");
  await here.client.waitForSynced();
  const fresh = await taken(undefined);
  const there = await taken("there.db", "UPDATE notes SET body = 'later' WHERE id = 'a'");
  await there.client.waitForSynced();
  await settled(here, fresh, there);

  const rows = await exact(fresh.db, "notes");
  assert.equal(rows.length, 2);
  assert.deepEqual(await fresh.db.execA("SELECT id, body, stars FROM notes ORDER BY id"), [["a", "later", 3], ["b", "of here", 2]]);
  for (const { client, errors } of [here, fresh, there]) {
    assert.deepEqual([errors, await client.quarantine(), await client.rejected()], [[], [], []]);
  }
});
