// The installed package, loaded once for this process.
import { load, wasm } from "./installed.mjs";

export const crsqliteSync = await load("crsqlite-sync");
export const testing = await load("crsqlite-sync/testing");
crsqliteSync.initSync(wasm());
