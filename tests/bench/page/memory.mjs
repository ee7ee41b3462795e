// What the wasm modules of the page hold in memory. To be imported before anything that loads one.
const memories = new Map();

function remember(instance) {
  const names = Object.keys(instance.exports);
  const whose = names.some((name) => name.startsWith("__wbindgen")) ? "ours" : "sqlite";
  for (const value of Object.values(instance.exports)) if (value instanceof WebAssembly.Memory) memories.set(value, whose);
  return instance;
}

for (const name of ["instantiate", "instantiateStreaming"]) {
  const native = WebAssembly[name];
  WebAssembly[name] = async (...args) => {
    const made = await native.apply(WebAssembly, args);
    remember(made.instance ?? made);
    return made;
  };
}
WebAssembly.Instance = new Proxy(WebAssembly.Instance, { construct: (Native, args) => remember(new Native(...args)) });

/** Bytes: of ours, and of SQLite's. */
export function wasmBytes() {
  const bytes = { ours: 0, sqlite: 0 };
  for (const [memory, whose] of memories) bytes[whose] += memory.buffer.byteLength;
  if (bytes.ours === 0 || bytes.sqlite === 0) throw new Error("a wasm module was loaded unseen");
  return bytes;
}
