// Virtual time. Import this before anything that asks for the time: from then on the clock stands still while work is
// done and jumps from timer to timer, so that hours of patience take no longer than the work in them.

const turn = globalThis.setImmediate;
const BEGINNING = 1_700_000_000_000;
/** What takes longer will never be done. */
const PATIENCE = 3_600_000;

let now = 0;
let count = 0;
/** In the order of their moments; of one moment in the order in which they were set. */
let timers = [];

class Timer {
  constructor(callback, ms) {
    this.at = now + Math.max(0, Number(ms) || 0);
    this.order = count++;
    this.callback = callback;
  }

  unref() {
    return this;
  }

  ref() {
    return this;
  }
}

const earlier = (a, b) => a.at < b.at || (a.at === b.at && a.order < b.order);

function place(timer) {
  let [low, high] = [0, timers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (earlier(timers[middle], timer)) low = middle + 1;
    else high = middle;
  }
  return low;
}

globalThis.setTimeout = (callback, ms, ...given) => {
  const timer = new Timer(() => callback(...given), ms);
  timers.splice(place(timer), 0, timer);
  return timer;
};

globalThis.clearTimeout = (timer) => {
  if (!(timer instanceof Timer)) return;
  const at = place(timer);
  if (timers[at] === timer) timers.splice(at, 1);
};

globalThis.setInterval = () => {
  throw new Error("nothing here needs intervals");
};

globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [BEGINNING + now]));
  }

  static now() {
    return BEGINNING + now;
  }
};

performance.now = () => now;

/** Virtual milliseconds since the world began. */
export const moment = () => now;

/** Calls back so many virtual milliseconds from now. What it returns may take its time: the clock goes on. */
export const after = (ms, callback) => setTimeout(callback, ms);

export const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** What is asked of another process: the clock stands still until it answers. */
export function outside(answer) {
  const done = answer.then(() => answered.delete(done), () => answered.delete(done));
  answered.add(done);
  return answer;
}

const answered = new Set();

/** Waits until all that can be done without the clock is done: databases here never wait for anything but promises. */
export async function settle() {
  for (let quiet = 0; quiet < 2; quiet++) {
    await new Promise((wake) => turn(wake));
    if (answered.size === 0) continue;
    await Promise.all(answered);
    quiet = -1;
  }
}

/** Lets everything happen that happens within the next so many milliseconds. Throws what a callback throws. */
export async function pass(ms) {
  const end = now + ms;
  while (timers.length > 0 && timers[0].at <= end) {
    const timer = timers.shift();
    now = Math.max(now, timer.at);
    Promise.resolve(timer.callback()).catch((error) => (thrown ??= error));
    await settle();
    if (thrown) throw thrown;
  }
  now = end;
}

let thrown;

/** Does something that may need the clock, and lets it go on meanwhile. */
export async function meanwhile(work) {
  let busy = true;
  const end = work().finally(() => (busy = false));
  end.catch(() => {});
  const latest = now + PATIENCE;
  for (await settle(); busy; ) {
    if (now > latest) throw new Error("what was begun never ends");
    await pass(10);
  }
  return end;
}

/** A new world begins: nothing of the old one happens any more. */
export function restart() {
  timers = [];
  thrown = undefined;
}
