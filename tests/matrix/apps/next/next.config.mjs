import { fileURLToPath } from "node:url";

/** @type {import("next").NextConfig} */
export default {
  // Where the lock file is. Next takes the outermost one that it finds, which here is that of other tests.
  turbopack: { root: fileURLToPath(new URL("../..", import.meta.url)) },
};
