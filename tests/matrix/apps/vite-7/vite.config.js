// The app of ../vite under the version before.
import config from "../vite/vite.config.js";

export default { ...config, root: "../vite", cacheDir: "../vite-7/node_modules/.vite" };
