import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient, WsTransport } from "crsqlite-sync";
import { openNotes } from "../shared/notes.js";
import { showNotes } from "../shared/page.js";

showNotes(async (...options) => {
  const [sqlite] = await Promise.all([initSqlite(), init()]);
  return openNotes(sqlite, { SyncClient, WsTransport }, ...options);
});
