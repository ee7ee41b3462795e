import { init } from "/node_modules/crsqlite-sync/index.js";

const { dataset } = document.documentElement;
init().then(
  () => (dataset.init = "loaded"),
  ({ code, message }) => (dataset.init = `${code}: ${message}`),
);
