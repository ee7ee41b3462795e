// How costs grow: what single operations of a client take where something about them is one, ten and a hundred times as large.
// In memory, against a relay in the page; each size in a page of its own, of each operation the least time. The value is the worst operation's ratio for each
// tenfold, so that 1 is a cost that does not depend on it, and 10 one that grows with it. All numbers are in the report.
// Catching up against the history of the log is measured in catch-up.mjs.

export const title = "growth";

export const keys = {
  growth_by_rows: { what: "tenfold rows in the database: write → frame, frame → applied, reconnect, start, a page of an answer", unit: "×", budget: { most: 1.25 }, quick: { most: 4 } },
  growth_by_message: { what: "tenfold rows in a message: frame → applied, for each row", unit: "×", budget: { most: 1.1 } },
  growth_by_tables: { what: "tenfold replicated tables: write → frame, frame → applied, reconnect, start", unit: "×", budget: { most: 3 }, quick: { most: 6 } },
  growth_by_quarantine: { what: "tenfold rows in the quarantine (10,000 at most): the same, and to keep one more", unit: "×", budget: { most: 10 } },
};

/** The quick run takes two of them, without the last size. The quarantine holds 10,000 rows. */
const DRIVERS = {
  growth_by_rows: { measure: "byRows", sizes: [1_000, 10_000, 100_000] },
  growth_by_message: { measure: "byMessage", sizes: [50, 500, 5_000] },
  growth_by_tables: { measure: "byTables", sizes: [1, 10, 100] },
  growth_by_quarantine: { measure: "byQuarantine", sizes: [90, 900, 9_000] },
};
const TIMES = { quick: 10, full: 20 };

export async function measure(host) {
  const [values, details] = [{}, {}];
  for (const [key, { measure: name, sizes }] of Object.entries(DRIVERS)) {
    if (host.quick && !keys[key].quick) continue;
    const taken = host.quick ? sizes.slice(0, 2) : sizes;
    const costs = {};
    for (const size of taken) {
      const page = await host.page();
      const measured = await host.call(page, "growth.mjs", name, { size, times: host.quick ? TIMES.quick : TIMES.full });
      for (const [operation, ms] of Object.entries(measured)) (costs[operation] ??= []).push(ms);
      await page.context().close();
    }
    const tenfold = Object.fromEntries(Object.entries(costs).map(([operation, ms]) => [operation, (ms.at(-1) / ms[0]) ** (1 / (taken.length - 1))]));
    values[key] = Math.max(...Object.values(tenfold));
    details[key] = { sizes: taken, costs, tenfold };
  }
  return { values, details };
}
