// As the main entry, but the module may be left out everywhere: this entry carries it.
import type { initSync as initSyncWithModule } from "./index.js";

export * from "./index.js";
export { default } from "./index.js";
export declare function initSync(module?: Parameters<typeof initSyncWithModule>[0]): void;
