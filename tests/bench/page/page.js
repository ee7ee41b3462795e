// What the package costs a page beside the work itself.

/** Milliseconds of `init()` in a page that has loaded nothing yet. */
export async function initialised() {
  const { init } = await import("crsqlite-sync");
  const began = performance.now();
  await init();
  return performance.now() - began;
}

let running;
/** Opens a database and a client. */
export async function open() {
  const [{ ours }, { changes, shape }] = await Promise.all([import("./contenders.js"), import("./changes.js")]);
  const made = shape();
  running = { ours: await ours(made, { persistent: false }), make: (rows) => changes(made, rows) };
}

/** Puts changes of so many rows into the log; how many these are. */
export function give(rows) {
  const made = running.make(rows);
  running.ours.give(made);
  return made.length;
}

export const take = () => running.ours.take();

/** How many values the table holds beside its keys. */
export async function held() {
  const [[held]] = await running.ours.db.execA("SELECT count(*) * (SELECT count(*) - 1 FROM pragma_table_info('t')) FROM t");
  return held;
}
