// The guide for frameworks, run: its blocks are compiled as the frameworks' own plugins do it, and play framework-page.mjs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compile } from "svelte/compiler";
import { transformWithOxc } from "vite";
import { compileScript, parse } from "vue/compiler-sfc";
import { blocksOf, root } from "./pages.mjs";
import { link, write } from "./project.mjs";

const player = fileURLToPath(new URL("framework-page.mjs", import.meta.url));
const block = (file) => {
  const found = blocksOf("docs/frameworks.md").find((block) => block.file === file);
  assert.ok(found, `${file} stands in the guide`);
  return found.code;
};

link();
write("frameworks/sync.js", "export const { client, db } = globalThis.synced;\n");

async function play(name, code) {
  const page = write(`frameworks/${name}.page.js`, code);
  await promisify(execFile)(process.execPath, ["--conditions=browser", player, page], { cwd: root, timeout: 120_000 });
}

test("the component for React shows rows and status, and leaves nothing behind", async () => {
  const { code } = await transformWithOxc(block("Tasks.tsx"), "Tasks.tsx", { jsx: { runtime: "automatic" } });
  write("frameworks/Tasks.tsx.js", code);
  await play("react", `
    import { createElement } from "react";
    import { flushSync } from "react-dom";
    import { createRoot } from "react-dom/client";
    import { Tasks } from "./Tasks.tsx.js";
    export function mount(element) {
      const root = createRoot(element);
      flushSync(() => root.render(createElement(Tasks)));
      return () => flushSync(() => root.unmount());
    }
  `);
});

test("the component for Vue shows rows and status, and leaves nothing behind", async () => {
  write("frameworks/composables.js", block("composables.js"));
  const { descriptor, errors } = parse(block("Tasks.vue"), { filename: "Tasks.vue" });
  assert.deepEqual(errors, []);
  write("frameworks/Tasks.vue.js", compileScript(descriptor, { id: "tasks", inlineTemplate: true }).content);
  await play("vue", `
    import { createApp } from "vue";
    import Tasks from "./Tasks.vue.js";
    export function mount(element) {
      const app = createApp(Tasks);
      app.mount(element);
      return () => app.unmount();
    }
  `);
});

test("the component for Svelte shows rows and status, and leaves nothing behind", async () => {
  const { js, warnings } = compile(block("Tasks.svelte"), { filename: "Tasks.svelte", generate: "client" });
  assert.deepEqual(warnings.map(({ message }) => message), []);
  write("frameworks/Tasks.svelte.js", js.code);
  await play("svelte", `
    import { flushSync, mount as mountComponent, unmount } from "svelte";
    import Tasks from "./Tasks.svelte.js";
    export function mount(target) {
      const component = mountComponent(Tasks, { target });
      flushSync();
      return () => unmount(component);
    }
  `);
});
