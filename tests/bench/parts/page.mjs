// What applying costs the page: how long it is held up at most, and how much work it is in all; and what the package weighs.

export const title = "the page's cost";

export const keys = {
  longest_task_ms: { what: "longest task of the main thread while 50,000 changes are applied", unit: "ms", budget: { most: 50 }, quick: { most: 150 } },
  main_ms_per_1000: { what: "main-thread time for 1,000 changes", unit: "ms" },
  init_ms: { what: "`init()`, in a page that has nothing yet", unit: "ms" },
  package_brotli_bytes: { what: "package: wasm and glue, brotli", unit: "bytes", budget: { most: 100_000 } },
};

export async function measure(bench) {
  const [rounds, rows] = bench.quick ? [1, 5000] : [5, 12_500];
  const page = await bench.page();
  await bench.call(page, "page.js", "open");
  const longest = [];
  const each = [];
  let all = 0;
  for (let round = 0; round < rounds; round += 1) {
    const changes = await bench.call(page, "page.js", "give", { first: round * rows, rows });
    const { tasks } = await bench.tasks(page, () => bench.call(page, "page.js", "take"));
    all += changes;
    const held = await bench.call(page, "page.js", "held");
    if (held !== all) throw new Error(`${held} of ${all} changes were applied`);
    longest.push(Math.max(...tasks));
    each.push((tasks.reduce((sum, ms) => sum + ms, 0) / changes) * 1000);
  }
  const init = [];
  for (let round = 0; round < rounds; round += 1) init.push(await bench.call(await bench.page(), "page.js", "initialised"));
  return {
    values: { longest_task_ms: longest, main_ms_per_1000: each, init_ms: init, package_brotli_bytes: Number(bench.need("CRSQLITE_PACKAGE_BYTES")) },
  };
}
