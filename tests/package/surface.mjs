// etc/crsqlite-sync.api.md, the public surface on one page: every entry with the shapes of all that it exports, without a word
// about them, in the order of their names. Decides what of a declaration is shape; adds nothing. Made from the package as it
// is packed: `cargo xtask api`, which is
//
//   node tests/package/surface.mjs --write
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript-5";

const root = fileURLToPath(new URL("../../", import.meta.url));
const pkg = process.env.CRSQLITE_SYNC_PKG ?? join(root, "pkg");
export const REPORT = join(root, "etc/crsqlite-sync.api.md");

const HEAD = `# The public surface of crsqlite-sync

Made by \`cargo xtask api\` from the packed package. A change here is a change for those who use it: a test fails until this file
says the same, so that nobody makes one unnoticed. What the names mean stands in [docs/api.md](../docs/api.md).
`;

const printer = ts.createPrinter({ removeComments: true, newLine: ts.NewLineKind.LineFeed });
const manifest = () => JSON.parse(readFileSync(join(pkg, "package.json"), "utf8"));

/** Entry → the file of its types; entries without types have none. */
export function entries() {
  return Object.entries(manifest().exports).map(([entry, to]) => [entry.replace(/^\./, "crsqlite-sync"), to.types]);
}

/** The page, for the package as it is now. */
export function render() {
  const { engines, peerDependencies, peerDependenciesMeta, exports } = manifest();
  const parts = [`\`\`\`json\n${JSON.stringify({ engines, peerDependencies, peerDependenciesMeta, exports }, null, 2)}\n\`\`\``];
  for (const [entry, types] of entries().filter(([, types]) => types !== undefined)) {
    parts.push(`## ${entry}\n\n\`\`\`ts\n${shapes(join(pkg, types)).join("\n")}\n\`\`\``);
  }
  return `${[HEAD, ...parts].join("\n").replaceAll("```\n##", "```\n\n##")}\n`;
}

function shapes(path) {
  const file = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const shown = file.statements.filter((node) => !ts.isImportDeclaration(node));
  const name = (node) => node.name?.text ?? "";
  return shown
    .map((node) => [name(node), printer.printNode(ts.EmitHint.Unspecified, node, file)])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)) // stable: overloads keep their order
    .map(([, text]) => text);
}

/** What an entry exports as values, and of its classes the members: what has to be there at run time. */
export function values() {
  const typed = entries().filter(([, types]) => types?.endsWith(".d.ts") && !types.includes(".wasm"));
  const program = ts.createProgram(typed.map(([, types]) => join(pkg, types)), {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
    types: [],
  });
  const checker = program.getTypeChecker();
  const resolved = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);
  return Object.fromEntries(
    typed.map(([entry, types]) => {
      const module = checker.getSymbolAtLocation(program.getSourceFile(join(pkg, types)));
      const exported = checker.getExportsOfModule(module).map((symbol) => [symbol.name, resolved(symbol)]);
      const isValue = ([, symbol]) => (symbol.flags & ts.SymbolFlags.Value) !== 0;
      return [entry, Object.fromEntries(exported.filter(isValue).map(([name, symbol]) => [name, members(symbol)]))];
    }),
  );
}

function members(symbol) {
  if (!(symbol.flags & ts.SymbolFlags.Class)) return [];
  return [...symbol.members.keys()].filter((name) => !/^__/.test(name)).sort();
}

// Whose name and type say all that there is to say.
const PLAIN = /\.(state|recordId|collection|type|localTimestamp|remoteTimestamp|code|retryable|\[Symbol\.\w+\])$/;

/** What is exported, or a member of that, without a word about it. */
export function undocumented() {
  const own = entries().filter(([, types]) => types !== undefined && !types.includes(".wasm"));
  return own.flatMap(([entry, types]) => {
    const file = ts.createSourceFile(types, readFileSync(join(pkg, types), "utf8"), ts.ScriptTarget.Latest, true);
    const isSilent = (node) => node.name !== undefined && (node.jsDoc ?? []).length === 0;
    const overloads = (node) => file.statements.some((other) => other.name?.text === node.name.text && !isSilent(other));
    const silent = file.statements.flatMap((node) => [
      ...(isSilent(node) && !overloads(node) ? [node.name.text] : []),
      ...(node.members ?? []).filter(isSilent).map((member) => `${node.name.text}.${member.name.getText()}`),
    ]);
    return silent.filter((name) => !PLAIN.test(name)).map((name) => `${entry}: ${name}`);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv.includes("--write")) {
  writeFileSync(REPORT, render());
}
