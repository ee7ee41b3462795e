// Every value that SQLite can store arrives on the other device as it was.
import assert from "node:assert/strict";
import { test } from "node:test";
import { exact, exchange, pair } from "./harness.mjs";

const SCHEMA = ["CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, untyped, i INTEGER, r REAL, t TEXT, b BLOB, n NUMERIC)"];
const COLUMNS = ["untyped", "i", "r", "t", "b", "n"];

const VALUES = {
  "null": "NULL",
  "NaN, which SQLite stores as NULL": "9e999 - 9e999",
  "the integer 0": "0",
  "an integer beyond int32": "4294967296",
  "a millisecond timestamp": "1700000000123",
  "the integer 2^53 + 1": "9007199254740993",
  "the largest integer": "9223372036854775807",
  "the smallest integer": "(-9223372036854775807 - 1)",
  "the real 5.0": "5.0",
  "the real 0.1": "0.1",
  "negative zero": "-0.0",
  "infinity": "9e999",
  "negative infinity": "-9e999",
  "the smallest real": "4.9e-324",
  "a real beyond 2^63": "1e300",
  "an empty text": "''",
  "text": "'æøå 𝄞'",
  "text that looks like a number": "'5.0'",
  "text with U+0000": "'a' || char(0) || 'b'",
  "text that begins with U+0000": "char(0) || 'b'",
  "text of 40,000 characters": "replace(hex(zeroblob(20000)), '0', 'x')",
  "text that is not UTF-8": "CAST(x'61FF62' AS TEXT)",
  "a lone surrogate in bytes": "CAST(x'EDA080' AS TEXT)",
  "an empty blob": "x''",
  "a blob": "x'00FF80'",
  "a blob of 70,000 bytes": "zeroblob(70000)",
};

for (const [what, sql] of Object.entries(VALUES)) {
  test(`${what} comes through in columns of every affinity`, async () => {
    const { a, b } = await pair(SCHEMA);
    for (const column of COLUMNS) await a.db.exec(`INSERT INTO v (id, "${column}") VALUES ('${column}', ${sql})`);
    await exchange(a, b);
    const [sent, received] = await Promise.all([exact(a.db, "v"), exact(b.db, "v")]);
    assert.equal(sent.length, COLUMNS.length);
    assert.deepEqual(received, sent);
    // And changed on the other side, it comes back.
    await b.db.exec(`UPDATE v SET untyped = 'changed' WHERE id = 'i'`);
    await exchange(b, a);
    assert.deepEqual(await exact(a.db, "v"), await exact(b.db, "v"));
    assert.deepEqual(a.errors, []);
    assert.deepEqual(b.errors, []);
    await Promise.all([a.client.stop(), b.client.stop()]);
  });
}
