// The wasm as a bundler hands it out: its address. (esbuild and others: the loader for files; webpack: `asset/resource`.)
declare const address: string;
export default address;
