// Reading what is to be sent, from rows to the text of messages.

import { timesFaster } from "../rounds.mjs";

export const title = "exporting";

export const keys = {
  export_vs_rows: { what: "export, beside nine columns read with `execA`, and JSON and base64 made in JS", unit: "×", budget: { least: 1.5 }, quick: { least: 0.35 } },
};

export async function measure(bench) {
  const page = await bench.page();
  const scale = bench.quick ? { versions: 100, rows: 20, rounds: 3 } : { versions: 500, rows: 20, rounds: 5 };
  const details = await bench.call(page, "export.js", "measure", scale);
  return { values: { export_vs_rows: timesFaster(details.times.ours, details.times.plain) }, details };
}
