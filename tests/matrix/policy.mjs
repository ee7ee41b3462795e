// What a Content Security Policy lets through, in one engine: that the one under which the apps run is enforced, and what
// a developer reads who has left `wasm-unsafe-eval` out.

import assert from "node:assert/strict";
import { until } from "../e2e/harness.mjs";
import { here } from "./stage/programs.mjs";
import { policy, Site } from "./stage/site.mjs";

const FOLDERS = { "/policy/": here("apps/policy"), "/node_modules/crsqlite-sync/": here("apps/node_modules/crsqlite-sync") };

export async function tryPolicy(engine) {
  const strict = await under(engine, policy());
  assert.equal(strict.inline, "", "an inline script is not run");
  assert.equal(strict.init, "loaded");
  assert.deepEqual(strict.refused, ["script-src-elem inline"]);

  const open = await under(engine, policy({ scripts: ["'unsafe-inline'"] }));
  assert.deepEqual(open, { inline: "ran", init: "loaded", refused: [] });

  const without = await under(engine, policy({ wasm: false }));
  assert.match(without.init, /^wasm-invalid: .*'wasm-unsafe-eval'/);
}

/** What became of the page, and what the browser reported. */
async function under(engine, content) {
  const site = await Site.open(FOLDERS, content);
  const page = await engine.newPage();
  try {
    await page.goto(new URL("/policy/", site.url).href);
    const seen = () => page.run(() => ({ inline: document.documentElement.dataset.inline ?? "", init: document.documentElement.dataset.init ?? "" }));
    await until("init to end", async () => (await seen()).init !== "", seen);
    return { ...(await seen()), refused: site.violations.map(({ directive, blocked }) => `${directive} ${blocked}`) };
  } finally {
    await page.close();
    await site.close();
  }
}
