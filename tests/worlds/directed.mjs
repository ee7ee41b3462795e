// Small worlds made for one rule each (src/rules.rs): what has to happen so that somebody would miss a row without it.
import { scenarios } from "./remotes.mjs";

const write = (at, device, ...statements) => ({ at, device, do: "write", keep: true, statements: statements.map((sql) => ({ sql })) });
const insert = (key) => `INSERT INTO notes (k1, body, n) VALUES (${key}, 'a', ${key})`;

export const directed = {
  additions: {
    name: "a row whose key was changed reaches everybody with its columns",
    steps: [write(2_000, 0, insert(1)), write(40_000, 1, "UPDATE notes SET k1 = 5 WHERE k1 = 1")],
  },
  "device-runs": {
    name: "versions that are used again after a crash are not taken for old ones",
    steps: [
      write(2_000, 0, insert(1)),
      write(12_000, 0, insert(2), insert(3)),
      // Only an answer moves a cursor.
      { at: 15_000, device: 1, do: "cut" },
      { at: 20_000, device: 1, do: "offline", away: 60_000 },
      { at: 21_000, device: 0, do: "crash", lose: 4, down: 1_000 },
      write(30_000, 0, insert(7)),
    ],
  },
};

/** The world as a scenario: two devices with the newest schema on a relay that only forwards. */
export function scenarioOf({ steps }) {
  const [any] = scenarios(0, 1);
  const device = { at: 0, schema: any.newest.schema, tables: null };
  const calm = { latency: 50, jobDelay: 1, loss: 0, duplicates: 0, reorder: false, largestFrame: null, batchChanges: 500 };
  return { ...any, ...calm, seed: 1, remote: "plain", devices: [device, device], steps, calmAt: 100_000 };
}
