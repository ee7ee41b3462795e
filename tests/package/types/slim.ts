// The slim entry: the main one, but it has to be given the module.
import start, { HttpTransport, SyncClient, WsTransport, init, initSync, type SyncStatus } from "crsqlite-sync/slim";
import { SyncClient as Main } from "crsqlite-sync";

const done: Promise<void> = init("x.wasm");
void start(new Uint8Array());
initSync(new Uint8Array());
// @ts-expect-error it carries no module
void init();
// @ts-expect-error it carries no module
void start();
// @ts-expect-error nor any for this
initSync();

const status = (client: SyncClient): SyncStatus => client.status;
const one: typeof Main = SyncClient; // a client of one entry is a client of all
export { HttpTransport, WsTransport, done, one, status };
