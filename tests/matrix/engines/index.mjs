// The engines that the tests run in, all behind the same few calls:
//   engine = await launch("firefox"); engine.name; engine.version; engine.newPage(); engine.close()
//   page.goto(address); page.reload(); page.run(function, ...args), which awaits what it returns; page.problems; page.close()
// Pages of one engine are tabs of one profile. What a `run` awaits must come by itself: in WebKit the other pages wait.
// Decides which engines there are on this machine; never installs one (`cargo xtask` does).

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { PuppeteerEngine } from "./puppeteer.mjs";
import { WebKitEngine } from "./webkit.mjs";

/** In the order of the table. `programs`: where each one is asked for first, and its names in PATH. */
const ENGINES = {
  chromium: {
    title: "Chromium",
    start: PuppeteerEngine.launch,
    programs: [["CHROME", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]],
  },
  firefox: { title: "Firefox", start: PuppeteerEngine.launch, programs: [["FIREFOX", "firefox-esr", "firefox"]] },
  webkit: { title: "WebKit", start: WebKitEngine.launch, programs: [["WEBKIT_DRIVER", "WebKitWebDriver"], ["XVFB", "Xvfb"]] },
};

export const names = Object.keys(ENGINES);
export const title = (name) => ENGINES[name].title;

/** Why this engine is not there, in words for people; undefined where it is. */
export function missing(name) {
  const lacking = ENGINES[name].programs.filter((places) => find(places) === undefined);
  if (lacking.length === 0) return undefined;
  return `no ${title(name)} on this machine: ${lacking.map(([variable, first]) => `${first} is not in PATH, and ${variable} does not name it`).join("; ")}`;
}

export function launch(name) {
  const { start, programs } = ENGINES[name];
  return start(name, ...programs.map(find));
}

function find([variable, ...names]) {
  // Set but empty: this engine is to be left out.
  if (process.env[variable] !== undefined) return process.env[variable] || undefined;
  const folders = (process.env.PATH ?? "").split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isProgram);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
