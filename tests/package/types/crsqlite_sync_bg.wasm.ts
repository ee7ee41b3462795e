// The asset, where a bundler makes an address of it.
import address from "crsqlite-sync/crsqlite_sync_bg.wasm";
import { init, initSync } from "crsqlite-sync/slim";

void init(address);
// @ts-expect-error an address cannot be loaded at once
initSync(address);
