// The contract's validators: what they let pass, what they refuse, and in which words.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { crsqliteSync } from "./package.mjs";

const { validatePushResult, validatePullResult, SyncResponseValidationError } = crsqliteSync;
const vectors = JSON.parse(readFileSync(new URL("../vectors/push-pull.json", import.meta.url), "utf8"));

/** What it threw; undefined when it returned the very value. */
function thrownBy(validate, value, options) {
  try {
    assert.equal(validate(value, options), value);
  } catch (thrown) {
    if (thrown instanceof assert.AssertionError) throw thrown;
    return thrown;
  }
  return undefined;
}

for (const [validate, list] of [[validatePushResult, vectors.pushResults], [validatePullResult, vectors.pullResults]]) {
  describe(validate.name, () => {
    for (const { name, value, error, path, strictPath } of list) {
      const verdict = error === undefined ? "lets pass" : "refuses";
      test(`${verdict} ${name}${error === undefined && strictPath !== undefined ? ", unless it is strict" : ""}`, () => {
        const thrown = thrownBy(validate, value);
        assert.deepEqual([thrown?.message, thrown?.path], [error, path]);
        assert.equal(thrownBy(validate, value, { strict: true })?.path, error === undefined ? strictPath : path);
      });
    }
  });
}

test("the vectors provoke each of the contract's messages", () => {
  const provoked = new Set([...vectors.pushResults, ...vectors.pullResults].map(({ error }) => error));
  const messages = [
    "Push result must be an object", "Push result missing 'accepted' array", "Push result missing 'conflicts' array",
    "Push result missing 'errors' array", "Each 'accepted' entry must have a string 'id'",
    "Each 'conflicts' entry must be an object", "Each 'conflicts' entry must have a string 'changeId'",
    "Each 'errors' entry must have a string 'id'", "Pull result must be an object", "Pull result missing 'changes' array",
    "Each 'changes' entry must be an object", "Each 'changes' entry must have an 'id' field",
    "Each 'changes' entry must have a string 'collection'", "Each 'changes' entry must have a string 'type'",
  ];
  assert.deepEqual(messages.filter((message) => !provoked.has(message)), []);
});

describe("the validators' error", () => {
  const thrown = thrownBy(validatePullResult, { changes: [{ id: 1, collection: 5, type: 7 }], hasMore: false, cursor: null });

  test("is a class of the package, and an Error", () => {
    assert.ok(thrown instanceof SyncResponseValidationError && thrown instanceof Error);
    assert.equal(thrown.name, "SyncResponseValidationError");
  });

  test("has the code of every invalid response, and says that trying again is pointless", () => {
    assert.deepEqual([thrown.code, thrown.retryable], ["invalid-response", false]);
  });

  test("is about the first failure", () => {
    assert.deepEqual([thrown.message, thrown.path], ["Each 'changes' entry must have a string 'collection'", "changes[0].collection"]);
    assert.equal(thrown.issues[0].path, thrown.path);
    assert.equal(thrown.issues[0].message, thrown.message);
  });

  test("lists, when strict, everything that the types forbid", () => {
    const value = { changes: [{ id: "a", collection: "t", type: "upsert", data: 5 }], cursor: 1, hasMore: "no" };
    const paths = thrownBy(validatePullResult, value, { strict: true }).issues.map((issue) => issue.path);
    for (const path of ["changes[0].type", "changes[0].data", "changes[0].recordId", "changes[0].timestamp", "cursor", "hasMore"]) {
      assert.ok(paths.includes(path), `${path} in ${paths}`);
    }
  });
});

test("a validator is synchronous and keeps extra keys", () => {
  const value = Object.freeze({ changes: [], cursor: null, hasMore: false, extra: Object.freeze({ kept: true }) });
  assert.equal(validatePullResult(value), value);
  assert.deepEqual(value.extra, { kept: true });
});

test("what a getter of the value throws comes out as an error, not as a crash", () => {
  const value = { get changes() { throw new Error("mine"); } };
  assert.throws(() => validatePullResult(value), Error);
  assert.deepEqual(validatePullResult({ changes: [] }), { changes: [] });
});
