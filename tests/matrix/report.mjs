// What a run has seen, cell by cell, and the table that is made of it. Writes target/matrix/report.json; compares with the
// table of the README or puts it there. Decides nothing about what a cell has to do.

import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as engines from "./engines/index.mjs";

const README = fileURLToPath(new URL("../../README.md", import.meta.url));
const FOLDER = fileURLToPath(new URL("../../target/matrix/", import.meta.url));
const [BEGIN, END] = ["<!-- matrix -->", "<!-- /matrix -->"];
const [WORKS, FAILS] = ["✓", "fails"];

export class Report {
  /** Name of an engine → its version. */
  #versions = {};
  /** Title of a row → name of an engine → what its cell says. */
  #rows = new Map();

  engine(name, version) {
    this.#versions[name] = version;
  }

  /** Rows stand in the order in which they are named first. */
  row(title) {
    if (!this.#rows.has(title)) this.#rows.set(title, {});
  }

  /** Runs a trial for the cells of these engines. A cell works when all of its trials do. */
  async watch(title, names, trial) {
    const cells = this.#rows.get(title);
    const say = (word) => names.forEach((name) => (cells[name] = cells[name] === FAILS ? FAILS : word));
    try {
      await trial();
      say(WORKS);
    } catch (error) {
      say(FAILS);
      throw error;
    }
  }

  async write() {
    await mkdir(FOLDER, { recursive: true });
    const report = { engines: this.#versions, rows: [...this.#rows].map(([title, cells]) => ({ title, cells })) };
    await writeFile(`${FOLDER}report.json`, `${JSON.stringify(report, null, 2)}\n`);
  }

  /** Puts the table into the README. All of it has to be seen for that. */
  async toReadme() {
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const rows = [...this.#rows].map(([title, cells]) => {
      for (const name of engines.names) assert.ok(cells[name], `${title} did not run in ${engines.title(name)}: there is no whole table`);
      return line([title, ...engines.names.map((name) => cells[name])]);
    });
    const head = [line(["tried", ...engines.names.map(engines.title)]), line(["---", ...engines.names.map(() => ":-:")])];
    const { before, after } = await committed();
    await writeFile(README, [before, BEGIN, "", ...head, ...rows, "", END, after].join("\n"));
  }

  /** Compares the README's table with what was seen here: the same rows, and the same in each cell that was tried. */
  async assertReadme() {
    const { table } = await committed();
    const lines = table.filter((line) => line.startsWith("|")).slice(2);
    const told = new Map(lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim())).map(([title, ...cells]) => [title, cells]));
    const hint = "the README's table is old: cargo xtask matrix --write";
    assert.deepEqual([...told.keys()], [...this.#rows.keys()], hint);
    for (const [title, cells] of this.#rows) {
      for (const [index, name] of engines.names.entries()) {
        if (cells[name]) assert.equal(told.get(title)[index], cells[name], `${title} in ${engines.title(name)}: ${hint}`);
      }
    }
  }
}

async function committed() {
  const lines = (await readFile(README, "utf8")).split("\n");
  const [begin, end] = [lines.indexOf(BEGIN), lines.indexOf(END)];
  assert.ok(begin >= 0 && end > begin, `the README has no lines ${BEGIN} and ${END}`);
  return { before: lines.slice(0, begin).join("\n"), table: lines.slice(begin + 1, end), after: lines.slice(end + 1).join("\n") };
}
