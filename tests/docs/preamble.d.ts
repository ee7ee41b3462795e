// What blocks may speak of without making it themselves: the reader has it from the quick start.
import type { DB, SQLite3 } from "@vlcn.io/crsqlite-wasm";
import type { SyncClient as Client, WsTransport as Transport } from "crsqlite-sync";

declare global {
  const sqlite: SQLite3;
  const db: DB;
  const client: Client;
  const transport: Transport;
}
