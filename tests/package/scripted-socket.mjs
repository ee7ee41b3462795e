// The installed package, for suites that bring doubles of their own.
export { crsqliteSync } from "./package.mjs";
