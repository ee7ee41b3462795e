// SyncClient with a server that is not the one it wants: what it adds to the transport's own words, which are those of the
// push-pull contract, and when it keeps quiet.
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./harness.mjs";
import { Records, refusal, start, stop } from "./records.mjs";

const timeout = () => refusal({ message: "Request timed out (req_1_2)", code: "request-timeout", retryable: true });
const missing = () => refusal({ message: "Sync pull failed (404): Unknown error", code: "http-status", status: 404 });

/** The first error that a client tells whose calls are refused so. */
async function told(why, methods, prepare = () => {}) {
  const server = new Records();
  const a = await start(server, { methods });
  await prepare(a);
  server.before = why;
  a.client.syncNow().catch(() => {});
  await until(() => a.errors.length > 0, "the error");
  await stop(a);
  return a.errors[0];
}

test("a WebSocket on which nothing is ever answered makes the client name the relay protocol", async () => {
  const error = await told(timeout, { name: "websocket", pull: () => Promise.reject(timeout()) });
  assert.match(error.message, /^Request timed out \(req_1_2\)\. .*protocol: "relay"/);
  assert.equal(error.cause.message, "Request timed out (req_1_2)");
});

test("a server that has answered before is only slow, and another transport has no protocol to choose", async () => {
  const slow = await told(timeout, { name: "websocket" }, ({ client }) => client.waitForSynced());
  assert.equal(slow.message, "Request timed out (req_1_2)");
  const other = await told(timeout, { name: "http", pull: () => Promise.reject(timeout()) });
  assert.equal(other.message, "Request timed out (req_1_2)");
});

test("a 404 from a server that never served says which address was asked, without credentials and query", async () => {
  const url = "https://user:secret@example.test/sync?token=secret";
  const error = await told(missing, { url, pull: () => Promise.reject(missing()) });
  assert.equal(error.message, "Sync pull failed (404): Unknown error, asked below https://example.test/sync");
});
