// As the main entry, but `init` must be given the module: this entry carries none.
import type { init as initWithDefault } from "./index.js";

export * from "./index.js";
export declare function init(input: NonNullable<Parameters<typeof initWithDefault>[0]>): Promise<void>;
export default init;
