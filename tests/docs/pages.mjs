// The pages that people read, and the code blocks in them. Decides where a page is and what belongs to a block; the rules
// for each language are in the test files of this folder, which all read their blocks here.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const read = (path) => readFileSync(join(root, path), "utf8");

/** Paths from the root. */
export const pages = [
  "README.md",
  ...readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
  "server/README.md",
  "PROTOCOL.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "tests/matrix/README.md",
  "tests/vectors/README.md",
  "www/README.md",
];

const FENCE = /^(?<indent> *)```(?<info>.*)\n(?<code>[^]*?)^\k<indent>```$/gm;
// What a block needs and its reader need not see: a comment right before it.
const HIDDEN = /<!-- given\n(?<text>(?:(?!-->)[^])*)-->\s*$/;

/** Every block of a page: its language, the words behind it (`file=main.js`), its text, and what is given to it. */
export function blocksOf(page, text = read(page)) {
  return [...text.matchAll(FENCE)].map(({ groups, index }) => {
    const before = text.slice(0, index);
    const [language, ...words] = groups.info.trim().split(/\s+/);
    return {
      page,
      line: before.split("\n").length,
      language,
      file: words.find((word) => word.startsWith("file="))?.slice("file=".length),
      words,
      code: groups.code.replaceAll(new RegExp(`^${groups.indent}`, "gm"), ""),
      given: HIDDEN.exec(before)?.groups.text ?? "",
    };
  });
}

export const blocks = pages.flatMap((page) => blocksOf(page));
export const blocksIn = (...languages) => blocks.filter(({ language }) => languages.includes(language));
export const where = ({ page, line }) => `${page}:${line}`;

/** The text of a page without its blocks and comments. */
export const prose = (page) => read(page).replaceAll(FENCE, "").replaceAll(/<!--[^]*?-->/g, "");

/** What a heading is called in an address, as GitHub and npm make it. */
export const anchor = (heading) =>
  heading.toLowerCase().replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");

/** The headings of a text with what each is called: the second one of a name has another than the first. */
export function headings(text) {
  const seen = new Map();
  return [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([line, heading]) => {
    const name = anchor(heading);
    const times = seen.get(name) ?? 0;
    seen.set(name, times + 1);
    return { line, heading, name: times === 0 ? name : `${name}-${times}` };
  });
}

/** Every name that an address of a page can end with. */
export const anchors = (page) => new Set(headings(prose(page)).map(({ name }) => name));
