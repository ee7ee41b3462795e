// Notes under Node: the other device of every app that runs in a browser. crsqlite-wasm is made for browsers, so that its
// globals are brought along; crsqlite-sync needs none of them but a WebSocket, which Node has from 22 on.
import "../../../node/shims.mjs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { WebSocket } from "ws";
import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient, WsTransport } from "crsqlite-sync";
import { openNotes } from "../shared/notes.js";

globalThis.WebSocket ??= WebSocket;
const wasm = createRequire(import.meta.url).resolve("@vlcn.io/crsqlite-wasm/crsqlite.wasm");
const [sqlite] = await Promise.all([initSqlite(() => pathToFileURL(wasm).href), init()]);

const devices = new Map();
process.on("message", async ({ id, device, method, args }) => {
  try {
    if (method === "open") {
      devices.set(device, await openNotes(sqlite, { SyncClient, WsTransport }, args[0], () => {}));
      return process.send({ id });
    }
    process.send({ id, value: await devices.get(device)[method](...args) });
  } catch (error) {
    process.send({ id, error: String(error) });
  }
});
process.send({ ready: true });
