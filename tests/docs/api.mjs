// docs/api.md, made from the hand-written types: what every entry exports, with its shapes, units, defaults and errors, in the
// words of the declarations. Decides how a declaration looks on the page and adds nothing of its own.
//
//   node tests/docs/api.mjs --write      (cargo xtask api does this, too)
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { API } from "typescript/unstable/sync";
import { SyntaxKind as Kind } from "typescript/unstable/ast";
import { anchor, headings, root } from "./pages.mjs";

/** Entry → the file of its types. */
export const ENTRIES = [
  ["crsqlite-sync", "src/web/types.d.ts"],
  ["crsqlite-sync/react", "src/web/js/react.d.ts"],
  ["crsqlite-sync/live", "src/web/js/live.d.ts"],
  ["crsqlite-sync/inline", "src/web/js/inline.d.ts"],
  ["crsqlite-sync/slim", "src/web/js/slim.d.ts"],
  ["crsqlite-sync/testing", "src/web/testing.d.ts"],
].filter(([, file]) => existsSync(join(root, file)));

const HEAD = `# API reference

<!-- Made by \`cargo xtask api\` from the types in src/web. Change those. -->

What the package exports, entry by entry. The same words stand in its \`.d.ts\` files, so an editor shows them too.
The [README](../README.md) has the quick start, [errors.md](errors.md) what to do about each error.
`;

/** What is looked for most comes first; the other chapters follow as their file has them. */
const FIRST = ["client", "transports"];

const PROPERTIES = [Kind.PropertySignature, Kind.PropertyDeclaration];
const CALLS = [Kind.MethodSignature, Kind.MethodDeclaration, Kind.Constructor];

const oneLine = (text) => text.replaceAll(/\s+/g, " ").trim();
const cell = (text) => oneLine(text).replaceAll("|", "\\|");

/** The page, from the files as they are now. */
export function render() {
  const declared = parse(ENTRIES.map(([, file]) => join(root, file)));
  const own = declared.map(({ statements }) => new Set(statements.filter(isShown).map(({ name }) => name.text)));
  // The first entry that exports a name is where links to it lead, except from another one that does.
  const entryOf = new Map(ENTRIES.flatMap(([entry], index) => [...own[index]].map((name) => [name, entry])).reverse());
  const entries = ENTRIES.map(([entry], index) => {
    const known = (name) => (own[index].has(name) ? entry : entryOf.get(name));
    return new Page(entry, declared[index], known);
  });
  const page = [HEAD, ...entries.map((entry) => entry.contents()), "", ...entries.map((entry) => entry.text())].join("\n").replaceAll(/\n{3,}/g, "\n\n").trimEnd();
  return `${placed(page)}\n`;
}

/** Stands for the heading of a name until all headings are there. */
const place = (entry, name) => `@${entry}@${name}@`;

/** Which names headings get depends on those before them: `LiveQuery` and `liveQuery` are called the same. */
function placed(page) {
  const names = new Map();
  let entry;
  for (const { line, heading, name } of headings(page.replaceAll(/^```[^]*?^```$/gm, ""))) {
    if (line.startsWith("## ")) entry = heading;
    if (line.startsWith("#### ")) names.set(place(entry, heading.replaceAll("`", "")), name);
  }
  return page.replaceAll(/@crsqlite-sync[\w/-]*@\w+@/g, (found) => names.get(found));
}

const upper = (chapter) => chapter[0].toUpperCase() + chapter.slice(1);
const title = (name) => `\`${name}\``;
const isShown = (node) => node.name !== undefined && node.kind !== Kind.VariableStatement;

/** Statements of each file. TypeScript only parses here: what the types refer to is not looked up. */
function parse(files) {
  const folder = mkdtempSync(join(tmpdir(), "crsqlite-api-"));
  const config = join(folder, "tsconfig.json");
  writeFileSync(config, JSON.stringify({ compilerOptions: { noLib: true, noResolve: true, types: [] }, files }));
  const api = new API({ cwd: folder });
  try {
    const [project] = api.updateSnapshot({ openProject: config }).getProjects();
    return files.map((file) => ({ text: readFileSync(file, "utf8"), statements: [...project.program.getSourceFile(file).statements] }));
  } finally {
    api.close();
    rmSync(folder, { recursive: true });
  }
}

class Page {
  /** `known(name)`: the entry where a name has its heading, if any. */
  constructor(entry, { text, statements }, known) {
    Object.assign(this, { entry, source: text, statements, known });
  }

  /** Chapter → what it declares, with what can be called before what it is given; "" where the file has no chapters. */
  chapters() {
    const chapters = new Map(FIRST.map((chapter) => [chapter, []]));
    for (const node of this.statements.filter(isShown)) {
      const chapter = this.chapterAt(node.end)?.name ?? "";
      chapters.set(chapter, [...(chapters.get(chapter) ?? []), node]);
    }
    const called = ({ kind }) => kind === Kind.ClassDeclaration || kind === Kind.FunctionDeclaration;
    return [...chapters]
      .filter(([, nodes]) => nodes.length > 0)
      .map(([chapter, nodes]) => [chapter, [...nodes.filter(called), ...nodes.filter((node) => !called(node))]]);
  }

  contents() {
    const lines = this.chapters().map(([chapter, nodes]) => {
      const names = [...new Set(nodes.map(({ name }) => name.text))];
      const links = names.map((name) => `[${title(name)}](#${place(this.entry, name)})`).join(", ");
      return chapter ? `\n  - [${upper(chapter)}](#${anchor(chapter)}): ${links}` : `: ${links}`;
    });
    return `- [${this.entry}](#${anchor(this.entry)})${lines.join("")}`;
  }

  text() {
    const from = this.entry === "crsqlite-sync" ? "" : `\n\n\`import … from "${this.entry}"\``;
    const parts = [`## ${this.entry}${from}\n\n${this.introduction()}`];
    for (const [chapter, nodes] of this.chapters()) {
      if (chapter) parts.push(`### ${upper(chapter)}`, this.chapterAt(nodes[0].end).words);
      const known = new Set();
      for (const node of nodes) {
        // Overloads stand under one heading.
        if (!known.has(node.name.text)) parts.push(`#### ${title(node.name.text)}`);
        known.add(node.name.text);
        parts.push(this.declaration(node));
      }
    }
    return parts.join("\n\n");
  }

  /** The comment that a file begins with: its first, if it belongs to no declaration; or the lines of it. */
  introduction() {
    const lines = /^(?:\/\/\/.*\n)*((?:\/\/ .*\n)+)/.exec(this.source)?.[1];
    if (lines) return oneLine(lines.replaceAll(/^\/\/ /gm, ""));
    const block = /^(?:\/\/\/.*\n)*\/\*\*[^]*?\*\/(?=\n\n)/.exec(this.source)?.[0];
    return block ? comment(block.slice(block.indexOf("/**"))) : "";
  }

  /** The last line `// ---- chapter` before the end of a declaration, and what the lines of comment below it say. */
  chapterAt(end) {
    const [, name, words] = [...this.source.slice(0, end).matchAll(/^\/\/ -{10,} (.+)\n((?:\/\/ .+\n)*)/gm)].at(-1) ?? [];
    return name && { name, words: oneLine(words.replaceAll(/^\/\/ /gm, "")) };
  }

  doc(node) {
    const { pos, end } = node.jsDoc?.at(-1) ?? {};
    return pos === undefined ? "" : comment(this.source.slice(pos, end)).replaceAll(/\{@link (\w+)\}/g, (all, name) => this.linked(name));
  }

  of(node) {
    return node === undefined ? "" : this.source.slice(node.pos, node.end).replaceAll(/\/\*\*[^]*?\*\//g, "").trim();
  }

  /** A type as code, with a link behind every name of ours but this one. */
  linked(type, own) {
    const code = (text) => (text.trim() === "" ? text : text.replace(/^(\s*)(.*?)(\s*)$/s, "$1`$2`$3"));
    return oneLine(type)
      .split(/\b([A-Z]\w+)\b/)
      .map((part, index) => {
        const entry = index % 2 === 1 && part !== own ? this.known(part) : undefined;
        return entry ? `[${title(part)}](#${place(entry, part)})` : { plain: part };
      })
      .reduce((parts, part) => {
        const last = parts.at(-1);
        if (typeof part === "object" && typeof last === "object") last.plain += part.plain;
        else parts.push(part);
        return parts;
      }, [])
      .map((part) => (typeof part === "object" ? code(part.plain) : part))
      .join("");
  }

  declaration(node) {
    const doc = this.doc(node);
    if (node.kind === Kind.FunctionDeclaration) return `${this.linked(this.signature(node))}\n\n${doc}`;
    if (node.kind === Kind.TypeAliasDeclaration) return `${doc}\n\n${this.alias(node)}`;
    const parents = [...(node.heritageClauses ?? [])].map((clause) => this.of(clause).replace(/^(extends|implements)\s/, "")).join(", ");
    return [doc, parents && `Also what every ${this.linked(parents)} has.`, this.members(node)].filter(Boolean).join("\n\n");
  }

  alias(node) {
    const text = this.source.slice(node.type.pos, node.type.end);
    if (!text.includes("/**")) {
      const words = [...text.matchAll(/"[^"]*"/g)];
      if (words.length > 3) return words.map(([word]) => `\`${word}\``).join(" · ");
      return this.linked(`${node.name.text}${this.generics(node)} = ${this.of(node.type).replace(/^\|\s*/, "")}`, node.name.text);
    }
    // A union whose words are explained: a comment is about the words of the line below it.
    const lines = [...text.matchAll(/(?<doc>\/\*\*[^]*?\*\/)?\s*(?<words>\|[^\n]*)/g)];
    const rows = lines.map(({ groups: { doc = "", words } }) => {
      const names = words.split("|").map((word) => word.trim()).filter(Boolean);
      return `| ${names.map((name) => this.linked(name)).join(", ")} | ${doc && cell(comment(doc))} |`;
    });
    return ["| | |", "|---|---|", ...rows].join("\n");
  }

  /** What a value looks like, in a table; what it does, in a list. */
  members(node) {
    const shown = node.members.filter(({ kind }) => PROPERTIES.includes(kind) || CALLS.includes(kind));
    const open = shown.filter((member) => !/\bprivate\b/.test(this.head(member)));
    const properties = open.filter(({ kind }) => PROPERTIES.includes(kind)).flatMap((member) => this.rows(member));
    const calls = open.filter(({ kind }) => CALLS.includes(kind)).map((member) => {
      const made = member.kind === Kind.Constructor ? `new ${node.name.text}(${this.parameters(member)})` : this.signature(member);
      const doc = this.doc(member);
      return `- ${this.linked(made, node.name.text)}${doc && `  \n  ${doc.replaceAll("\n", "\n  ")}`}`;
    });
    const table = properties.length > 0 ? ["| | type | |", "|---|---|---|", ...properties].join("\n") : "";
    return [calls.join("\n"), table].filter(Boolean).join("\n\n");
  }

  head(member) {
    return this.source.slice(member.jsDoc?.at(-1)?.end ?? member.pos, member.name?.pos ?? member.end);
  }

  /** One line of the table; an object that is written out on the spot has a line for each of its own fields too. */
  rows(member, prefix = "") {
    const name = `${prefix}${this.of(member.name)}`;
    const [object, list] = literal(member.type);
    const listed = object ? [...object.members].filter((one) => one.kind === Kind.PropertySignature) : [];
    const type = listed.length > 0 ? `\`${list ? "object[]" : "object"}\`` : this.linked(this.of(member.type));
    const optional = /\?$/.test(this.between(member)) ? "?" : "";
    const own = `| \`${name}${optional}\` | ${type.replaceAll("|", "\\|")} | ${cell(this.doc(member))} |`;
    return [own, ...listed.flatMap((one) => this.rows(one, `${name}${list ? "[]" : ""}.`))];
  }

  /** What stands between a name and its type: a question mark, maybe. */
  between(member) {
    return this.source.slice(member.name.end, member.type?.pos ?? member.end).replace(/:\s*$/, "").trim();
  }

  generics(node) {
    return node.typeParameters ? `<${[...node.typeParameters].map((one) => this.of(one)).join(", ")}>` : "";
  }

  parameters(node) {
    return [...node.parameters].map((one) => this.of(one)).join(", ");
  }

  signature(node) {
    const optional = this.source.slice(node.name.end, node.name.end + 1) === "?" ? "?" : "";
    return `${this.of(node.name)}${optional}${this.generics(node)}(${this.parameters(node)})${node.type ? `: ${this.of(node.type)}` : ""}`;
  }
}

/** The object type that is written out in a type, and whether the type is a list of such. */
function literal(type) {
  if (type?.kind === Kind.TypeLiteral) return [type, false];
  if (type?.kind === Kind.TypeOperator) return literal(type.type);
  if (type?.kind === Kind.ArrayType) return [literal(type.elementType)[0], true];
  return [undefined, false];
}

/** The words of the last comment in a text, without its stars. Examples in it are taken as they are, with the import that they need. */
function comment(text) {
  const words = text.slice(text.lastIndexOf("/**") + 3).replace(/\*\/\s*$/, "").replaceAll(/^\s*\* ?/gm, "").trim();
  return words.replaceAll(/```js\n/g, '<!-- given\nimport { FakeNetwork } from "crsqlite-sync/testing";\n-->\n```js\n');
}

export const PAGE = join(root, "docs/api.md");
if (process.argv[1] === import.meta.filename && process.argv.includes("--write")) writeFileSync(PAGE, render());
