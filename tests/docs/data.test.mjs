// Blocks of data: JSON has to be what its page says it is, TOML a configuration that the relay takes, SQL has to run on the
// real cr-sqlite, one page after the other from an empty database.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { open } from "../node/database.mjs";
import { MESSAGES, checker } from "../node/schemas.mjs";
import { blocksIn, read, root, where } from "./pages.mjs";

const RELAY = process.env.CRSQLITE_RELAY ?? `${root}target/debug/crsqlite-relay`;

test("every JSON block is JSON, and every message and record in one is what the relay's documents say", () => {
  const [message, record] = [checker(MESSAGES, { closed: true }), checker(["SyncChangeRecord"], { closed: true })];
  let count = 0;
  for (const block of blocksIn("json")) {
    const value = JSON.parse(block.code);
    const check = block.words.includes("record") ? record : /^sync_/.test(value.type) && message;
    if (block.page === "PROTOCOL.md") assert.ok(check, `${where(block)} is neither a message nor a record`);
    if (check) assert.equal(check(value), "", where(block));
    count += 1;
  }
  assert.ok(count > 6);
});

test("every package.json on the pages names versions that the tests install", () => {
  const { devDependencies } = JSON.parse(read("tests/package.json"));
  for (const block of blocksIn("json").filter(({ file }) => file === "package.json")) {
    const { dependencies = {}, devDependencies: dev = {} } = JSON.parse(block.code);
    for (const name of Object.keys({ ...dependencies, ...dev })) {
      assert.ok(name === "crsqlite-sync" || name in devDependencies, `${where(block)}: ${name}`);
    }
  }
});

test("every TOML block is a configuration that the relay takes", () => {
  const folder = mkdtempSync(join(tmpdir(), "crsqlite-docs-"));
  try {
    assert.ok(blocksIn("toml").length > 0);
    for (const block of blocksIn("toml")) {
      const path = join(folder, "relay.toml");
      writeFileSync(path, block.code);
      const shown = execFileSync(RELAY, ["config", "--config", path], { encoding: "utf8", stdio: "pipe" });
      const keys = [...block.code.matchAll(/^([\w-]+) =/gm)].map(([, key]) => key);
      assert.deepEqual([...shown.matchAll(/^([\w-]+) =.*# file$/gm)].map(([, key]) => key).sort(), keys.toSorted(), where(block));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const sql = blocksIn("sql");
for (const page of new Set(sql.map(({ page }) => page))) {
  test(`the SQL of ${page} runs from top to bottom`, async () => {
    const db = await open();
    for (const block of sql.filter((block) => block.page === page)) {
      await db.exec(block.given);
      await db.exec(block.code).catch((error) => assert.fail(`${where(block)}: ${error.message}`));
    }
    await db.close();
  });
}
