// As the main entry, but `init` must be given the module: this entry carries none.
import type { InitInput } from "./index.js";

export * from "./index.js";
/** Loads the wasm once, from what it is given; every later call returns the same promise. */
export declare function init(input: InitInput | Promise<InitInput>): Promise<void>;
export default init;
