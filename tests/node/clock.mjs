// A clock that a test pushes ahead: what was set for a moment that is past by then fires at once. Import it before the
// package; real time goes on beneath it, so that sockets and databases have theirs.
const now = performance.now.bind(performance);
const { setTimeout, clearTimeout } = globalThis;
let ahead = 0;

/** Timers that have not fired, with the moment at which they are due. */
const waiting = new Map();

performance.now = () => now() + ahead;

globalThis.setTimeout = (callback, ms = 0, ...args) => {
  const fire = () => {
    waiting.delete(id);
    callback(...args);
  };
  const id = setTimeout(fire, ms);
  waiting.set(id, { due: performance.now() + ms, fire });
  return id;
};

globalThis.clearTimeout = (id) => {
  waiting.delete(id);
  clearTimeout(id);
};

/** Pushes the clock ahead, and leaves everybody a moment to answer. */
export async function advance(ms) {
  ahead += ms;
  for (const [id, { due, fire }] of [...waiting]) {
    if (due <= performance.now() && waiting.has(id)) {
      clearTimeout(id);
      fire();
    }
  }
  await new Promise((wake) => setTimeout(wake, 30));
}

/** Lets time pass in which nobody does anything, until the check holds; at most so many hours. */
export async function idle(check, what = check.toString(), hours = 3) {
  for (let passed = 0; passed < hours * 3600; passed += 20) {
    if (await check()) return;
    await advance(20_000);
  }
  throw new Error(`never came true: ${what}`);
}
