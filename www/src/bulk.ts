// Thousands of rows in, or all of them out, without the page standing still: short statements with a breath between
// them, some of them in one transaction. Knows nothing of syncing. Called by device.

import { type Db, newId } from "./tasks";

/** One transaction is one write to the disk. */
const IN_TRANSACTION = 1_000;
/** One statement holds the page's thread for so long. */
const IN_STATEMENT = 50;

const CHORES = [
  "Water the plants",
  "Call grandma",
  "Order new tyres",
  "Repair the bicycle",
  "Read the contract",
  "Sort the photos",
  "Pack the tent",
  "Plan the party",
  "Paint the fence",
  "Return the books",
];

export type Progress = (done: number, total: number) => void;

export async function fill(db: Db, count: number, progress: Progress): Promise<void> {
  // Before everything that was typed by hand, so that the list begins as it did.
  const oldest = Date.UTC(2020, 0, 1);
  await inSteps(db, count, progress, async (tx, from, length) => {
    const rows = Array.from({ length }, (_, index) => from + index).map((number) => ({
      id: newId(),
      title: `${CHORES[number % CHORES.length]}, no. ${(number + 1).toLocaleString("en")}`,
      priority: number % 9 === 0 ? 2 : 0,
      at: oldest - number * 60_000,
    }));
    await tx.exec(
      `INSERT INTO tasks (id, title, priority, created_at)
       SELECT value->>'id', value->>'title', value->>'priority', value->>'at' FROM json_each(?)`,
      [JSON.stringify(rows)],
    );
  });
}

export async function clear(db: Db, progress: Progress): Promise<void> {
  const [counted] = await db.execA<[number]>("SELECT count(*) FROM tasks");
  await inSteps(db, Number(counted?.[0]), progress, (tx, _from, rows) =>
    tx.exec("DELETE FROM tasks WHERE id IN (SELECT id FROM tasks LIMIT ?)", [rows]),
  );
}

type Tx = Parameters<Parameters<Db["tx"]>[0]>[0];

async function inSteps(db: Db, total: number, progress: Progress, step: (tx: Tx, from: number, count: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < total; start += IN_TRANSACTION) {
    const end = Math.min(start + IN_TRANSACTION, total);
    await db.tx(async (tx) => {
      for (let from = start; from < end; from += IN_STATEMENT) {
        await step(tx, from, Math.min(IN_STATEMENT, end - from));
        await breath();
      }
    });
    progress(end, total);
  }
}

/** Lets the page paint and hear its user. */
const breath = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
