import initSqlite from "@vlcn.io/crsqlite-wasm";
import sqliteWasm from "@vlcn.io/crsqlite-wasm/crsqlite.wasm?url";
import { init, SyncClient, WsTransport } from "crsqlite-sync";
import { openNotes } from "../shared/notes.js";
import { showNotes } from "../shared/page.js";

showNotes(async (...options) => {
  const [sqlite] = await Promise.all([initSqlite(() => sqliteWasm), init()]);
  return openNotes(sqlite, { SyncClient, WsTransport }, ...options);
});
