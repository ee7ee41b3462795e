// How a release is made: one version, a tag that has to be it, and workflows that may do no more than they must.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { pkg } from "./installed.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = join(root, ".github/workflows");
const workflows = readdirSync(folder).map((name) => {
  const text = readFileSync(join(folder, name), "utf8");
  return { ...parse(text), name, text };
});
const jobs = workflows.flatMap(({ name, jobs }) => Object.entries(jobs).map(([job, what]) => ({ ...what, name: `${name}: ${job}` })));
const release = workflows.find(({ name }) => name === "release.yml").jobs;

const repository = mkdtempSync(join(tmpdir(), "crsqlite-release-"));
after(() => rmSync(repository, { recursive: true, force: true }));

/** What .ci/release-notes says of a tag, in a repository of that version and that changelog. */
function notes(tag, version, changelog) {
  mkdirSync(join(repository, ".ci"), { recursive: true });
  copyFileSync(join(root, ".ci/release-notes"), join(repository, ".ci/release-notes"));
  writeFileSync(join(repository, "Cargo.toml"), `[workspace.package]\nversion = "${version}"\n\n[package]\nversion = "9.9.9"\n`);
  writeFileSync(join(repository, "CHANGELOG.md"), changelog);
  const { status, stdout, stderr } = spawnSync("bash", [join(repository, ".ci/release-notes"), tag], { encoding: "utf8" });
  return status === 0 ? stdout : `refused: ${stderr}`;
}

test("a tag is taken only if it is the version of Cargo.toml and the changelog tells of it", () => {
  const changelog = "# Changelog\n\n## Unreleased\n\n- later\n\n## 1.2.0 - 2026-01-02\n\n- new\n\n## 1.1.0 - 2025-01-02\n\n- old\n";
  assert.equal(notes("v1.2.0", "1.2.0", changelog).trim(), "- new");
  assert.match(notes("v1.2.1", "1.2.0", changelog), /^refused: .*v1\.2\.1.*version 1\.2\.0/);
  assert.match(notes("1.2.0", "1.2.0", changelog), /^refused: .*has to be v1\.2\.0/);
  assert.match(notes("v1.3.0", "1.3.0", changelog), /^refused: .*CHANGELOG\.md has no heading "## 1\.3\.0/);
  assert.match(notes("v1.2.0", "1.2.0", "## 1.2.0 - 2026-01-02\n\n## 1.1.0\n\n- old\n"), /^refused/);
});

test("the package has the version of Cargo.toml, and so has every crate", () => {
  const version = /^\[workspace\.package\]\nversion = "(.+)"$/m.exec(readFileSync(join(root, "Cargo.toml"), "utf8"))[1];
  assert.equal(JSON.parse(readFileSync(join(pkg, "package.json"), "utf8")).version, version);
  const metadata = execFileSync("cargo", ["metadata", "--no-deps", "--offline", "--format-version", "1"], { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  const crates = JSON.parse(metadata).packages.filter(({ name }) => /^crsqlite-/.test(name));
  assert.deepEqual(crates.map(({ name, version }) => `${name} ${version}`).sort(), [`crsqlite-relay ${version}`, `crsqlite-sync ${version}`]);
});

test("every action is pinned by its commit, with the version beside it", () => {
  for (const { name, text } of workflows) {
    const uses = text.split("\n").filter((line) => /\buses:/.test(line));
    assert.ok(uses.length > 0, name);
    for (const line of uses) assert.match(line, /uses: actions\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, `${name}: ${line.trim()}`);
  }
});

test("a job may read, and only the one that publishes or releases may do one thing more", () => {
  const may = Object.fromEntries(workflows.flatMap(({ name, permissions, jobs }) => Object.entries(jobs).map(([job, own]) => [`${name}: ${job}`, own.permissions ?? permissions])));
  assert.deepEqual(may, {
    "ci.yml: ready": { contents: "read" },
    "release.yml: package": { contents: "read" },
    "release.yml: relay": { contents: "read" },
    "release.yml: npm": { "id-token": "write" },
    "release.yml: release": { contents: "write" },
  });
  for (const { text, name } of workflows) assert.doesNotMatch(text, /secrets\./, name);
  for (const job of [release.npm, release.release]) {
    assert.ok(job.steps.every(({ uses = "" }) => !uses.startsWith("actions/checkout@")), "none of our code runs where something can be written");
  }
});

test("nothing is published before all tests have passed, for the very tag", () => {
  const steps = release.package.steps.map(({ run = "" }) => run);
  const [checked, tested, packed] = [/^mkdir release && \.ci\/release-notes "\$GITHUB_REF_NAME"/, /^\.ci\/run$/, /npm pack/].map((step) => steps.findIndex((run) => step.test(run)));
  assert.ok(checked >= 0 && checked < tested && tested < packed);
  assert.deepEqual([release.npm.needs, release.release.needs], [["package", "relay"], "npm"]);
  assert.match(release.npm.steps.at(-1).run, /npm publish \S+ --provenance/);
});

test("every job ends, lets no name of a branch or tag into its scripts, and keeps no credentials", () => {
  for (const job of jobs) {
    assert.ok(job["timeout-minutes"] <= 60, job.name);
    for (const { run = "", uses = "", with: given } of job.steps) {
      assert.doesNotMatch(run, /\$\{\{/, job.name);
      if (uses.startsWith("actions/checkout@")) assert.equal(given["persist-credentials"], false, job.name);
    }
  }
});
