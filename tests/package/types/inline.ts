// The inline entry: the main one, and everything may be left out.
import start, { HttpTransport, SyncClient, WsTransport, init, initSync, type SyncStatus } from "crsqlite-sync/inline";
import { SyncClient as Main } from "crsqlite-sync";

const done: Promise<void> = init();
void init("x.wasm");
void start();
initSync();
initSync(new Uint8Array());
// @ts-expect-error an address cannot be loaded at once
initSync("x.wasm");

const status = (client: SyncClient): SyncStatus => client.status;
const one: typeof Main = SyncClient; // a client of one entry is a client of all
export { HttpTransport, WsTransport, done, one, status };
