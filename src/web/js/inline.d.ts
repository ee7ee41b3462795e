// As the main entry, but the module may be left out everywhere: this entry carries it.
import type { WasmModule } from "./index.js";

export * from "./index.js";
export { default } from "./index.js";
/** Loads the wasm at once: what this entry carries, or what it is given. */
export declare function initSync(module?: BufferSource | WasmModule): void;
