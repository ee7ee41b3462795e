// crsqlite-sync/live: when a query is run again, and which answer counts. Over a database whose answers the test gives,
// and over the real one where it matters what SQLite says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openWith } from "../node/database.mjs";
import { load, run } from "./installed.mjs";

const { liveQuery } = await load("crsqlite-sync/live");
const task = () => new Promise((wake) => setTimeout(wake, 1));

/** Waits until the check holds; a test that waits in vain ends by itself. */
async function until(check) {
  for (const deadline = Date.now() + 20_000; !check(); await task()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${check}`);
  }
}

/** A database that answers when the test says so; what it reads is the table t. */
function scripted({ reads = [["t"]] } = {}) {
  const calls = [];
  const hooks = new Set();
  const db = {
    execO: (sql, bind) => new Promise((resolve, reject) => calls.push({ sql, bind, resolve, reject })),
    execA: async () => reads,
    onUpdate: (hook) => hooks.add(hook) && (() => hooks.delete(hook)),
  };
  const write = (table) => hooks.forEach((hook) => hook(18, "main", table, 1n));
  return { db, calls, hooks, write };
}

/** What of a client a query needs. */
function client() {
  const listeners = new Set();
  const on = (event, listener) => listeners.add([event, listener]) && (() => listeners.clear());
  const applied = (...tables) =>
    listeners.forEach(([event, listener]) => event === "applied" && listener({ tables: Object.fromEntries(tables.map((table) => [table, []])) }));
  return { on, applied, listeners };
}

/** Counts the runs of a query on a real database and collects what it tells. */
function watched(db, sql, { bind, client, ...options } = {}) {
  const told = [];
  let runs = 0;
  const counting = { execO: (...args) => (runs++, db.execO(...args)), execA: (...args) => db.execA(...args), onUpdate: (hook) => db.onUpdate(hook) };
  const query = liveQuery(counting, client, sql, bind, options);
  const off = query.subscribe((result) => told.push(result));
  return { query, told, off, runs: () => runs, settled: () => until(() => !query.current.loading) };
}

const T = ["CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a)", "CREATE TABLE u (id INTEGER PRIMARY KEY NOT NULL, a)"];

// ---------------------------------------------------------------------------------------- over a script

test("a wrong argument is told at the call, and named", () => {
  const { db } = scripted();
  const cases = [
    [[undefined, null, "SELECT 1"], /db has no method execO\(\)/],
    [[Promise.resolve(db), null, "SELECT 1"], /db is a promise, did you forget await/],
    [[db, {}, "SELECT 1"], /client must be/],
    [[db, null, 42], /sql must be/],
    [[db, null, "SELECT ?", 7], /bind must be/],
    [[db, null, "SELECT 1", [], null], /options must be/],
    [[db, null, "SELECT 1", [], { tables: "t" }], /tables must be/],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => liveQuery(...args), (error) => error instanceof Error && error.code === "bad-option" && message.test(error.message));
  }
  liveQuery(db, null, "SELECT 1", null, { tables: undefined });
});

test("nothing runs before the first listener comes, nor after the last one has gone", async () => {
  const { db, calls, hooks, write } = scripted();
  const source = client();
  const query = liveQuery(db, source, "SELECT", [7]);
  assert.deepEqual([calls.length, hooks.size, source.listeners.size, query.current.loading], [0, 0, 0, true]);

  const told = [];
  const offs = [query.subscribe((result) => told.push(result.data)), query.subscribe(() => {})];
  assert.deepEqual([told, calls.map(({ sql, bind }) => [sql, bind])], [[undefined], [["SELECT", [7]]]]);
  calls[0].resolve([{ a: 1 }]);
  await until(() => told.length === 2);
  assert.deepEqual(told[1], [{ a: 1 }]);

  offs[0]();
  offs[0]();
  assert.equal(hooks.size, 1, "one still listens");
  write("t");
  offs[1]();
  await task();
  assert.deepEqual([calls.length, hooks.size, source.listeners.size], [1, 0, 0]);
  assert.deepEqual(query.current.data, [{ a: 1 }], "what it knew it still knows");
});

test("one run at a time: a burst of writes is read once more, at its end", async () => {
  const { db, calls, write } = scripted();
  const query = liveQuery(db, null, "SELECT");
  const off = query.subscribe(() => {});
  for (let i = 0; i < 100; i++) write("t");
  await task();
  assert.equal(calls.length, 1, "not while it runs");
  calls[0].resolve([{ n: 1 }]);
  await until(() => calls.length === 2);
  calls[1].resolve([{ n: 2 }]);
  await until(() => query.current.data[0].n === 2);
  for (let i = 0; i < 100; i++) write("t");
  await task();
  await task();
  assert.equal(calls.length, 3);
  off();
});

test("the answer to an older listener's run is dropped, however late it comes", async () => {
  const { db, calls } = scripted();
  const query = liveQuery(db, null, "SELECT");
  query.subscribe(() => {})();
  const told = [];
  const off = query.subscribe(({ data }) => told.push(data));
  calls[1].resolve([{ n: "new" }]);
  await until(() => told.length === 2);
  calls[0].resolve([{ n: "old" }]);
  await task();
  assert.deepEqual([told, query.current.data], [[undefined, [{ n: "new" }]], [{ n: "new" }]]);
  off();
});

test("what other devices and tabs wrote runs it again, where it reads it", async () => {
  const { db, calls } = scripted();
  const source = client();
  const off = liveQuery(db, source, "SELECT").subscribe(() => {});
  calls[0].resolve([]);
  await task();
  source.applied("other");
  await task();
  await task();
  assert.equal(calls.length, 1);
  source.applied("other", "t");
  await until(() => calls.length === 2);
  off();
});

test("an error is told beside the last rows, and the next write may heal it", async () => {
  const { db, calls, write } = scripted();
  const query = liveQuery(db, null, "SELECT");
  const off = query.subscribe(() => {});
  calls[0].reject("no such table: t");
  await until(() => query.current.error);
  assert.ok(query.current.error instanceof Error);
  assert.deepEqual([query.current.error.message, query.current.data, query.current.loading], ["no such table: t", undefined, false]);
  write("anything"); // what it reads is not known before it has run once
  await until(() => calls.length === 2);
  calls[1].resolve([{ a: 1 }]);
  await until(() => query.current.data);
  assert.equal(query.current.error, undefined);
  write("t");
  await until(() => calls.length === 3);
  const broken = new Error("database is closed");
  calls[2].reject(broken);
  await until(() => query.current.error);
  assert.deepEqual([query.current.error, query.current.data], [broken, [{ a: 1 }]]);
  off();
});

test("an answer that says the same is not told again, and keeps its array", async () => {
  const { db, calls } = scripted();
  const query = liveQuery(db, null, "SELECT");
  const told = [];
  const off = query.subscribe(({ data }) => told.push(data));
  const answers = [[{ a: 1, b: 2n }], [{ a: 1, b: 2n }], [{ a: 1, b: 2 }], [{ a: 1, b: 2 }, { a: 3, b: 4 }], [{ a: 1 }, { a: 3 }]];
  for (const [index, answer] of answers.entries()) {
    if (index > 0) query.refresh();
    await until(() => calls.length === index + 1);
    calls[index].resolve(answer);
    await task();
  }
  assert.deepEqual(told, [undefined, answers[0], answers[2], answers[3], answers[4]]);
  off();
});

test("a listener that throws stops nobody, and the page hears of it", async () => {
  const heard = await run(`
    import { liveQuery } from "crsqlite-sync/live";
    const heard = [];
    process.on("uncaughtException", (error) => heard.push(error.message));
    const query = liveQuery({ execO: async () => [], execA: async () => [], onUpdate: () => () => {} }, null, "SELECT");
    query.subscribe(({ loading }) => { throw new Error(loading ? "first" : "second"); });
    query.subscribe(({ loading }) => heard.push(loading));
    setTimeout(() => print(heard), 50);
  `);
  assert.deepEqual(heard, [true, false, "first", "second"]);
});

// ------------------------------------------------------------------------------- over the real database

const cases = [
  ["a table", "SELECT a FROM t", ["t"]],
  ["an index that covers it", "SELECT a FROM t WHERE a > 0", ["t"]],
  ["a join", "SELECT t.a FROM t JOIN u ON t.id = u.id", ["t", "u"]],
  ["a view", "SELECT * FROM both", ["t", "u"]],
  ["a subquery", "SELECT 1 WHERE EXISTS (SELECT 1 FROM u WHERE a = 2)", ["u"]],
  ["a common table expression", "WITH x AS (SELECT count(*) AS n FROM u) SELECT n FROM x", ["u"]],
  ["no table", "SELECT 1", []],
  ["a virtual table, of which SQLite does not say what it reads", "SELECT value FROM json_each('[1]')", ["t", "u"]],
  ["a temporary table", "SELECT * FROM temporary", ["t", "u"]],
];
for (const [what, sql, tables] of cases) {
  test(`a query that reads ${what} is run again after writes to ${tables.join(" and ") || "nothing"}`, async () => {
    const db = await openWith([...T, "CREATE INDEX i ON t (a)", "CREATE VIEW both AS SELECT t.a, u.a AS b FROM t JOIN u ON t.id = u.id"]);
    await db.exec("CREATE TEMP TABLE temporary (a)");
    const { query, off, runs, settled } = watched(db, sql);
    await settled();
    await until(() => query.current.data);
    await task();
    for (const table of ["t", "u"]) {
      const before = runs();
      await db.exec(`INSERT INTO ${table} VALUES (1, 1)`);
      await task();
      await task();
      // The run that a write orders is in the database's queue by now.
      await db.exec("SELECT 1");
      assert.equal(runs() > before, tables.includes(table), table);
    }
    off();
    await db.close();
  });
}

test("what is written in a transaction is read after its end, also when it is rolled back", async () => {
  const db = await openWith(T);
  const { query, told, off, settled } = watched(db, "SELECT count(*) AS n FROM t");
  await settled();
  await db.tx(async (tx) => {
    await tx.exec("INSERT INTO t VALUES (1, 1)");
    await task();
    await task();
    await tx.exec("INSERT INTO t VALUES (2, 2)");
  });
  await until(() => query.current.data[0].n === 2);
  const rolledBack = db.tx(async (tx) => {
    await tx.exec("INSERT INTO t VALUES (3, 3)");
    await task();
    throw new Error("never mind");
  });
  await assert.rejects(rolledBack);
  await db.exec("INSERT INTO u VALUES (1, 1)");
  await task();
  assert.deepEqual(told.map(({ data }) => data?.[0].n), [undefined, 0, 2]);
  off();
});

test("the caller may name the tables", async () => {
  const db = await openWith(T);
  const { off, runs, settled } = watched(db, "SELECT count(*) AS n FROM t", { tables: ["u"] });
  await settled();
  await db.exec("INSERT INTO t VALUES (1, 1)");
  await task();
  await task();
  assert.equal(runs(), 1);
  await db.exec("INSERT INTO u VALUES (1, 1)");
  await until(() => runs() === 2);
  off();
});

test("where every write counts, bookkeeping does not", async () => {
  const { db, calls, write } = scripted({ reads: [["t"], [null]] });
  const off = liveQuery(db, null, "SELECT").subscribe(() => {});
  calls[0].resolve([]);
  await task();
  for (const table of ["crsqlite_sync_state", "t__crsql_pks", "crsql_tracked_peers", "sqlite_sequence"]) write(table);
  await task();
  await task();
  assert.equal(calls.length, 1);
  write("other");
  await until(() => calls.length === 2);
  off();
});

test("where SQLite cannot say what a statement reads, every write counts", async () => {
  const { db, calls, write } = scripted();
  db.execA = () => Promise.reject(new Error("no such table: bytecode"));
  const off = liveQuery(db, null, "SELECT").subscribe(() => {});
  calls[0].resolve([]);
  await task();
  write("anything");
  await until(() => calls.length === 2);
  off();
});
