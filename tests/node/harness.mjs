// Two devices and a relay: what most tests begin with.
import { readFileSync } from "node:fs";
import { after } from "node:test";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { clocks, exact, open, openWith } from "./database.mjs";
import { PlainRelay } from "./relay.mjs";

// The package under test: what `cargo xtask pack` has made, or the folder that the environment names.
const folder = process.env.CRSQLITE_SYNC_PKG ?? resolve(import.meta.dirname, "../../pkg");
const { init, SyncClient } = await import(pathToFileURL(resolve(folder, "index.js")).href);
await init();

export { clocks, exact, open, openWith, PlainRelay, SyncClient };

/** How long a test waits for what has to come: a device that finds a gap may have asked less than 30 s before. */
export const patience = { ms: 75_000 };

// What `status.reason` may say, from the public types: of the source, for not every package under test carries them.
const types = readFileSync(resolve(import.meta.dirname, "../../src/web/types.d.ts"), "utf8");
const words = (union) => [...(types.match(new RegExp(`export type ${union} =(.+?);\n\n`, "s"))?.[1] ?? "").matchAll(/"([\w-]+)"/g)];
const reasons = new Set(["SyncState", "DisconnectReason", "SyncReason"].flatMap(words).map(([, word]) => word));

/** Ends the test file where a client gives a reason that the types do not name. */
function hear({ reason }) {
  if (reason !== undefined && !reasons.has(reason)) {
    queueMicrotask(() => {
      throw new Error(`status.reason is "${reason}", which is not in the types`);
    });
  }
}

const started = new Set();
/** Stops every client that was started here. */
export const end = () => Promise.all([...started].map((device) => device.client.stop()));
after(end);

/** A database with a client on it. `errors` and `applied` collect what the client says. */
export async function device(relay, schema, { name, db, transport, start = true, ...options } = {}) {
  const database = db ?? (await openWith(schema, name));
  const link = transport ?? relay.transport(`device-${started.size}`);
  const client = new SyncClient({ db: database, transport: link, remoteId: "test", ...options });
  const made = { client, db: database, transport: link, errors: [], applied: [] };
  client.on("status", hear);
  client.on("error", (error) => made.errors.push(error));
  client.on("applied", (event) => made.applied.push(event));
  started.add(made);
  if (start) {
    await client.start();
    await until(() => client.status.state === "standby" || link.state === "open", "the transport opens");
  }
  return made;
}

/** Two devices of the same schema on one plain relay. */
export async function pair(schema, options = {}) {
  const relay = new PlainRelay();
  return { relay, a: await device(relay, schema, options), b: await device(relay, schema, options) };
}

/** Waits until the check holds. */
export async function until(check, what = check.toString(), ms = patience.ms) {
  const deadline = Date.now() + ms;
  for (;;) {
    const asked = Date.now();
    if (await check()) return;
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    // A check that reads a whole database must not keep it from working.
    const pause = Math.max(5, 3 * (Date.now() - asked));
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

/** Waits until all devices hold the same clocks, then returns them. */
export async function settled(...devices) {
  let last;
  const equal = async () => {
    last = await Promise.all(devices.map(({ db }) => clocks(db)));
    return last.every((state) => JSON.stringify(state) === JSON.stringify(last[0]));
  };
  await until(equal, "all devices hold the same changes").catch((error) => {
    error.message += `\n${JSON.stringify(last, null, 1).slice(0, 4000)}\n${devices.map((d) => JSON.stringify([d.client.status, d.errors.map(String)])).join("\n")}`;
    throw error;
  });
  return last[0];
}

/** Syncs what is there now, both ways. */
export async function exchange(...devices) {
  for (const { client } of devices) await client.waitForSynced({ level: "sent" });
  return settled(...devices);
}
