// Import maps are not for workers. crsqlite-sync names its files by relative addresses and needs none; crsqlite-wasm, whose
// files import others by bare names, was made one file (see the matrix's README).
import initSqlite from "/sqlite/crsqlite-wasm.js";
import { init, SyncClient, WsTransport } from "/node_modules/crsqlite-sync/index.js";
import { openNotes } from "../shared/notes.js";
import { serveNotes } from "../shared/worker.js";

serveNotes(async (...options) => {
  const [sqlite] = await Promise.all([initSqlite(), init()]);
  return openNotes(sqlite, { SyncClient, WsTransport }, ...options);
});
