// crsqlite-sync/react, rendered by React into a document, over real databases that two clients keep in step.
import "./page.mjs";
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { act, createElement, StrictMode } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { openWith } from "../node/database.mjs";
import { PlainRelay } from "../node/relay.mjs";
import { borrow, load } from "./installed.mjs";
import { crsqliteSync } from "./package.mjs";
import { close, element } from "./page.mjs";

borrow("react");
const { useQuery, useSyncStatus } = await load("crsqlite-sync/react");
globalThis.IS_REACT_ACT_ENVIRONMENT = true;
const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a)"];
after(close);

/** Lets React and the database work until the check holds. */
async function until(check) {
  for (const deadline = Date.now() + 20_000; !check(); ) {
    if (Date.now() > deadline) throw new Error(`never came true: ${check}`);
    await act(() => new Promise((wake) => setTimeout(wake, 2)));
  }
}

/** Renders a component, with whatever else is put around it. */
async function render(component, props = {}, { strict = false } = {}) {
  const container = element();
  const root = createRoot(container);
  const show = (next) => act(() => root.render(strict ? createElement(StrictMode, null, createElement(component, next)) : createElement(component, next)));
  await show(props);
  return { container, show, unmount: () => act(() => root.unmount()) };
}

async function device(relay, name) {
  const [db, transport] = [await openWith(T), relay.transport(name)];
  const client = new crsqliteSync.SyncClient({ db, transport, remoteId: "test" });
  return { db, client, transport };
}

/** A component that shows a query, and every result that it was rendered with. */
function list(seen = []) {
  const List = ({ db, client, sql = "SELECT id, a FROM t ORDER BY id", bind }) => {
    const result = useQuery(db, client, sql, bind);
    seen.push(result);
    if (result.error) return `error: ${result.error.message}`;
    return result.loading ? "loading" : result.data.map(({ id, a }) => `${id}=${a}`).join(" ");
  };
  return { List, seen };
}

function Status({ client }) {
  const { state, pendingChanges } = useSyncStatus(client);
  return `${state} ${pendingChanges}`;
}

test("the status is there from the first rendering, follows the client, and needs none", async () => {
  const relay = new PlainRelay();
  const [{ db, client, transport }, other] = [await device(relay, "a"), await device(relay, "b")];
  await other.client.start(); // somebody who answers, so that this one is soon up to date
  const page = await render(Status, { client: undefined });
  assert.equal(page.container.textContent, "stopped 0");
  await page.show({ client });
  assert.equal(page.container.textContent, "stopped 0");
  await act(() => client.start());
  await until(() => page.container.textContent === "live 0");
  await act(async () => transport.cut());
  await act(() => db.exec("INSERT INTO t VALUES (1, 1)"));
  await until(() => page.container.textContent === "connecting 1");
  await act(() => transport.connect());
  await until(() => page.container.textContent === "live 0");
  await page.show({ client: null });
  assert.equal(page.container.textContent, "stopped 0");
  await page.unmount();
  await Promise.all([client.stop(), other.client.stop()]);
});

test("a component is rendered again only when the status says something else", async () => {
  let status = { state: "live", pendingChanges: 0, progress: { received: 0 } };
  const listeners = new Set();
  const client = {
    get status() {
      return structuredClone(status); // another object each time, as the client does
    },
    on: (_, listener) => listeners.add(listener) && (() => listeners.delete(listener)),
  };
  let renderings = 0;
  const Counted = () => (renderings++, useSyncStatus(client).progress.received);
  const page = await render(Counted);
  assert.equal(renderings, 1);
  const tell = () => act(() => listeners.forEach((listener) => listener(client.status)));
  await tell();
  assert.equal(renderings, 1);
  status = { ...status, progress: { received: 7 } };
  await tell();
  assert.deepEqual([renderings, page.container.textContent], [2, "7"]);
  await page.unmount();
  assert.equal(listeners.size, 0);
});

test("what the status became between rendering and listening is not missed", async () => {
  let state = "connecting";
  const client = {
    get status() {
      return { state, pendingChanges: 0 };
    },
    on: () => () => {},
  };
  const Late = () => {
    const shown = useSyncStatus(client).state;
    state = "live";
    return shown;
  };
  const page = await render(Late);
  assert.equal(page.container.textContent, "live");
  await page.unmount();
});

test("rows appear as this tab and other devices write them", async () => {
  const relay = new PlainRelay();
  const [a, b] = [await device(relay, "a"), await device(relay, "b")];
  await Promise.all([a.client.start(), b.client.start()]);
  const { List, seen } = list();
  const page = await render(List, a);
  await until(() => page.container.textContent === "");
  await act(() => a.db.exec("INSERT INTO t VALUES (1, 'here')"));
  await until(() => page.container.textContent === "1=here");
  await act(() => b.db.exec("INSERT INTO t VALUES (2, 'there')"));
  await until(() => page.container.textContent === "1=here 2=there");
  assert.deepEqual(seen.map(({ loading }) => loading).slice(0, 2), [true, false]);
  assert.ok(seen.slice(1).every(({ loading }) => !loading), "it loads once");
  await page.unmount();
  await Promise.all([a.client.stop(), b.client.stop()]);
});

test("other values start over: rows of one query are never shown as those of another", async () => {
  const { db } = await device(new PlainRelay(), "a");
  await db.exec("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
  const sql = "SELECT id, a FROM t WHERE id = ?";
  const { List, seen } = list();
  const page = await render(List, { db, sql, bind: [1] });
  await until(() => page.container.textContent === "1=one");
  const before = seen.at(-1).data;
  await page.show({ db, sql, bind: [1] });
  assert.equal(seen.at(-1).data, before, "the same values in another array are the same query");
  for (const [bind, text] of [[[2], "2=two"], [[2n], "2=two"], [["2"], "2=two"], [[new Uint8Array([2])], ""], [[new Uint8Array([3])], ""]]) {
    seen.length = 0;
    await page.show({ db, sql, bind });
    assert.deepEqual([seen[0].loading, seen[0].data], [true, undefined]);
    await until(() => page.container.textContent === text);
  }
  await page.unmount();
});

test("without a database it is loading, and with one it loads", async () => {
  const { db } = await device(new PlainRelay(), "a");
  const { List } = list();
  const page = await render(List, {});
  assert.equal(page.container.textContent, "loading");
  await page.show({ db });
  await until(() => page.container.textContent === "");
  await page.unmount();
});

test("an error is shown until the query succeeds", async () => {
  const db = await openWith([]);
  const { List } = list();
  const page = await render(List, { db });
  await until(() => page.container.textContent === "error: no such table: t");
  await act(async () => {
    for (const statement of [...T, "CREATE TABLE other (x)", "INSERT INTO other VALUES (1)"]) await db.exec(statement);
  });
  await until(() => page.container.textContent === "");
  await page.unmount();
});

test("StrictMode shows the same and leaves nothing behind", async () => {
  const hooks = new Set();
  const { db: real } = await device(new PlainRelay(), "a");
  const onUpdate = (hook) => {
    const off = real.onUpdate(hook);
    hooks.add(hook);
    return () => hooks.delete(hook) && off();
  };
  const db = { execO: (...args) => real.execO(...args), execA: (...args) => real.execA(...args), onUpdate };
  const { List } = list();
  const page = await render(List, { db }, { strict: true });
  await until(() => page.container.textContent === "");
  assert.equal(hooks.size, 1);
  await act(() => real.exec("INSERT INTO t VALUES (1, 2)"));
  await until(() => page.container.textContent === "1=2");
  await page.unmount();
  assert.equal(hooks.size, 0);
});

test("an answer that comes after the end of its component disturbs nobody", async () => {
  let answer;
  const db = { execO: () => new Promise((resolve) => (answer = resolve)), execA: async () => [], onUpdate: () => () => {} };
  const { List, seen } = list();
  const page = await render(List, { db });
  await page.unmount();
  const renderings = seen.length;
  await act(async () => answer([{ id: 1, a: 1 }]));
  assert.equal(seen.length, renderings);
});

test("a server renders what is known before anything is, and the page takes over from there", async () => {
  const { List } = list();
  const { db, client } = await device(new PlainRelay(), "a");
  await db.exec("INSERT INTO t VALUES (1, 2)");
  const App = (props) => createElement("p", null, createElement(Status, props), " ", createElement(List, props));
  const html = renderToString(createElement(App));
  assert.equal(html.replaceAll(/<!-- -->/g, ""), "<p>stopped 0 loading</p>");
  const container = element();
  container.innerHTML = html;
  const complaints = [];
  const root = await act(() => hydrateRoot(container, createElement(App, { db, client }), { onRecoverableError: (error) => complaints.push(error.message) }));
  await until(() => container.textContent === "stopped 0 1=2");
  assert.deepEqual(complaints, []);
  await act(() => root.unmount());
});
