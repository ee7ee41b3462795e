// What was measured, held against budgets and bounds, and the tables made of it. Decides nothing about how it is measured.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { median } from "./rounds.mjs";

const README = fileURLToPath(new URL("../../README.md", import.meta.url));
const FOLDER = fileURLToPath(new URL("../../target/bench/", import.meta.url));
const [BEGIN, END] = ["<!-- bench -->", "<!-- /bench -->"];

/** The lines of one part, in the order of its keys. */
export function judged({ keys, name }, values, { quick }) {
  const strange = Object.keys(values).filter((key) => !(key in keys));
  if (strange.length > 0) throw new Error(`${name} measured what it does not declare: ${strange.join(", ")}`);
  return Object.entries(keys).flatMap(([key, { what, unit = "", budget, quick: bound }]) => {
    const samples = [values[key] ?? []].flat();
    if (!samples.every(Number.isFinite)) throw new Error(`${key} is no number: ${samples}`);
    if (samples.length === 0 && !quick) throw new Error(`${name} did not measure ${key}`);
    if (samples.length === 0) return [];
    const value = median(samples);
    const broken = quick && bound && !holds(bound, value) ? `${shown(value, unit)}, and even a busy machine reaches ${limit(bound, unit)}` : undefined;
    return [{ key, what, unit, budget, samples, value, met: budget && holds(budget, value), broken }];
  });
}

const holds = ({ least = -Infinity, most = Infinity }, value) => value >= least && value <= most;
const limit = ({ least, most }, unit) => (least === undefined ? `≤ ${shown(most, unit)}` : `≥ ${shown(least, unit)}`);

/** Three digits that count, thousands apart. */
function shown(value, unit) {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return unit === "" ? text : `${text} ${unit}`;
}

/** The rows of a table in Markdown. */
function rows(lines, last) {
  return lines.map((line) => {
    const { what, unit, samples, value, budget, met } = line;
    const spread = samples.length > 1 ? `${shown(Math.min(...samples), "")}–${shown(Math.max(...samples), "")}` : "";
    const asked = budget ? `${limit(budget, unit)}${met ? "" : ", missed"}` : "";
    return [what, shown(value, unit), spread, asked, ...last(line)];
  });
}

const HEAD = ["measured", "median", "rounds", "budget"];
const markdown = (cells) => `| ${cells.join(" | ")} |`;

/** For a terminal: the same table, with columns of equal width and the keys. */
export function table(lines, { quick }) {
  const all = [[...HEAD, "key"], ...rows(lines, ({ key, broken }) => [quick && broken ? `${key} BROKEN` : key])];
  const widths = all[0].map((_, column) => Math.max(...all.map((cells) => cells[column].length)));
  return all.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd()).join("\n");
}

/** Writes the report, one key for each value; returns where it is. */
export async function write({ lines, details, quick, browser }) {
  await mkdir(FOLDER, { recursive: true });
  const path = `${FOLDER}report.json`;
  const flat = Object.fromEntries(lines.map(({ key, value }) => [key, value]));
  const measured = lines.map(({ key, what, unit, samples, budget, met }) => ({ key, what, unit, samples, budget, met }));
  const report = { ...flat, date: new Date().toISOString(), quick, browser, measured, details };
  await writeFile(path, `${JSON.stringify(report, null, 2)}\n`);
  return path;
}

/** Puts the table into the README. */
export async function toReadme(lines, { browser }) {
  const text = (await readFile(README, "utf8")).split("\n");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the README has no lines ${BEGIN} and ${END}`);
  const said = `Measured on ${new Date().toISOString().slice(0, 10)} by \`cargo xtask bench --write\`, in headless Chromium ${browser}:`;
  const body = [HEAD, ["---", "--:", "---", "---"], ...rows(lines, () => [])].map(markdown);
  await writeFile(README, [...text.slice(0, begin + 1), "", said, "", ...body, "", ...text.slice(end)].join("\n"));
}
