import initSqlite from "@vlcn.io/crsqlite-wasm";
import sqliteWasm from "@vlcn.io/crsqlite-wasm/crsqlite.wasm";
import { init, SyncClient, WsTransport } from "crsqlite-sync/inline";
import { openNotes } from "../shared/notes.js";
import { showNotes } from "../shared/page.js";

showNotes(async (...options) => {
  const [sqlite] = await Promise.all([initSqlite(() => sqliteWasm), init()]);
  return openNotes(sqlite, { SyncClient, WsTransport }, ...options);
});
