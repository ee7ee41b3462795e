// "Show me a merge": what a person would do with both cards to see one row merge, done for them step by step. Uses the
// devices as the cards do. Called by main.

import type { Device } from "./device";

const READ_MS = 1900;
/** The relay may be away; the story does not wait for ever. */
const PATIENCE_MS = 10_000;

export interface Stage {
  readonly left: Device;
  readonly right: Device;
  say(words: string): void;
  /** Opens the details of a task on both cards. */
  show(id: string): void;
  /** Milliseconds to read what was said. */
  readonly readMs?: number;
}

export async function play({ left, right, say, show, readMs = READ_MS }: Stage): Promise<void> {
  const read = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, readMs));
  for (const device of [left, right]) await device.setOnline(true);

  say("The left device adds a task. It is on the right at once.");
  const id = await left.add("Plan the trip");
  await arrived(right, id);
  show(id);
  await read();

  say("Now both are cut off.");
  for (const device of [left, right]) await device.setOnline(false);
  await read();

  say("The left one writes another title.");
  await left.edit(id, { title: "Plan the trip to Lisbon" });
  await read();

  say("The right one sets the priority and takes a note, in the same row.");
  await right.edit(id, { priority: 2, notes: "The night train, if there is one." });
  await read();

  say("Both are back.");
  for (const device of [left, right]) await device.setOnline(true);
  await Promise.all([left, right].map((device) => device.client.waitForSynced({ signal: AbortSignal.timeout(PATIENCE_MS) })));
  await read();
  say("One row, both edits. Had both written the title, one of the two would stand, and the same one on both sides.");
}

async function arrived(device: Device, id: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await device.db.execA("SELECT 1 FROM tasks WHERE id = ?", [id]);
    if (found.length > 0) return;
    if (performance.now() > deadline) throw new Error("The task did not reach the other side. Is the relay there?");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
