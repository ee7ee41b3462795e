// The simulator's model of cr-sqlite against the package itself: the same random histories on both give the same rows,
// versions, causal lengths, origins and sequence numbers. MODEL_HISTORIES and MODEL_FIRST choose how many and which.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { resolve } from "node:path";
import { test } from "node:test";
import { open } from "./database.mjs";

const SIMULATOR = process.env.CRSQLITE_SIMULATOR ?? resolve(import.meta.dirname, "../../target/debug/simulator");
const COUNT = Number(process.env.MODEL_HISTORIES ?? 300);
const FIRST = Number(process.env.MODEL_FIRST ?? 1);

const CHANGES = `SELECT "table", hex(pk), cid, hex(crsql_pack_columns(val)), col_version, db_version, hex(site_id), cl, seq
  FROM crsql_changes`;

test(`the model holds what the package holds after each of ${COUNT} random histories from seed ${FIRST} on`, async (context) => {
  const simulator = spawn(SIMULATOR, ["--histories", COUNT, "--first", FIRST], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done, failed) => simulator.once("error", failed).once("exit", done));
  const told = { histories: 0, databases: 0, steps: 0, changes: 0 };
  const different = [];
  for await (const line of createInterface({ input: simulator.stdout })) {
    const history = JSON.parse(line);
    const problem = await replay(history, told).catch((error) => error);
    if (problem) different.push(`seed ${history.seed}: ${problem.message}`);
  }
  assert.equal(await ended, 0);
  assert.equal(told.histories, COUNT);
  context.diagnostic(JSON.stringify(told));
  assert.equal(different.length, 0, `${different.length} of ${COUNT} differ\n${different.slice(0, 5).join("\n")}`);
  assert.ok(told.changes > 60 * COUNT, "the histories hold next to nothing");
});

// Why the histories leave it out.
test("an alteration that is rolled back leaves cr-sqlite with the wrong columns until the database is opened anew", async () => {
  const name = "rolled-back-alteration.db";
  const db = await open(name);
  await db.exec("CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b)");
  await db.exec("SELECT crsql_as_crr('main', 't')");
  await db.exec("INSERT INTO t VALUES (1, 1, 2)");
  await db.exec("BEGIN");
  await db.exec("SELECT crsql_begin_alter('t')");
  await db.exec("ALTER TABLE t DROP COLUMN a");
  await db.exec("SELECT crsql_commit_alter('t')");
  await db.exec("ROLLBACK");
  await assert.rejects(db.exec("UPDATE t SET a = 5"), /expected 5 values, got 7/);
  await db.close();
  const again = await open(name);
  await again.exec("UPDATE t SET a = 5");
  const changes = await again.execA("SELECT cid, val, col_version FROM crsql_changes ORDER BY cid");
  assert.deepEqual(changes, [["a", 5, 2], ["b", 2, 1]]);
  await again.close();
});

/** Runs a history on databases of its own and compares after each step. */
async function replay({ sites, steps }, told) {
  const databases = await Promise.all(sites.map(() => open()));
  told.histories += 1;
  told.databases += sites.length;
  try {
    // The model's sites are told in advance; the real ones are drawn when the databases are made.
    const ours = (text) => sites.reduce((all, site, at) => all.replaceAll(`X'${site}'`, `X'${databases[at].siteid}'`), text);
    for (const [at, { on, sql, holds }] of steps.entries()) {
      const db = databases[on];
      const where = () => `step ${at} on ${on}: ${sql}`;
      await db.execMany([ours(sql)]).catch((error) => assert.fail(`${where()}: ${error.message}`));
      told.steps += 1;
      if (!holds) continue;
      const site = (hex) => sites[databases.findIndex((other) => other.siteid.toUpperCase() === hex)] ?? hex;
      const changes = await db.execA(`${CHANGES} -- ${at}`);
      const found = changes.map((row) => row.with(6, site(row[6])));
      assert.deepEqual(sorted(found), sorted(holds.changes), `the changes differ after ${where()}`);
      told.changes += found.length;
      for (const [table, count] of Object.entries(holds.rows)) {
        const [[live]] = await db.execA(`SELECT count(*) FROM "${table}" -- ${at}`);
        assert.equal(live, count, `the rows of ${table} differ after ${where()}`);
      }
    }
  } finally {
    for (const db of databases) await db.close();
  }
}

const sorted = (rows) => rows.map((row) => JSON.stringify(row)).sort();
