// The contract of WsTransport, sentence by sentence: what it tells its listeners.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { change, make, network, opened, reportedCodes, reports, tick } from "./contract.mjs";

// --------------------------------------------------------------------------------------------- server push

test("every listener hears what the server pushes, until it unsubscribes", async () => {
  const transport = await opened();
  const heard = [];
  const stop = transport.onServerPush((changes) => heard.push(["one", changes]));
  transport.onServerPush((changes) => heard.push(["two", changes]));
  network.socket.say({ type: "server_push", payload: [change("s1")] });
  stop();
  network.socket.say({ type: "server_push", payload: [] });
  assert.deepEqual(heard, [["one", [change("s1")]], ["two", [change("s1")]], ["two", []]]);
});

test("a listener that throws stops neither the others nor the transport, and is reported", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush(() => { throw new Error("mine"); });
  transport.onServerPush((changes) => heard.push(changes));
  network.socket.say({ type: "server_push", payload: [] });
  assert.deepEqual([heard, reportedCodes(), transport.state], [[[]], ["listener-threw"], "open"]);
  assert.equal(reports()[0].cause.message, "mine");
});

test("pushes that break the contract are reported and not passed on", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush((changes) => heard.push(changes));
  for (const payload of [{}, [null], [{ id: 1 }]]) network.socket.say({ type: "server_push", payload });
  assert.deepEqual([heard, reportedCodes()], [[], ["invalid-response", "invalid-response", "invalid-response"]]);
});

test("pushes that come before the first listener wait for it, up to a bound", async () => {
  const transport = await opened();
  for (let turn = 0; turn < 300; turn += 1) network.socket.say({ type: "server_push", payload: [change(`s${turn}`)] });
  const heard = [];
  transport.onServerPush(([first]) => heard.push(first.id));
  assert.deepEqual([heard.length, heard.at(0), heard.at(-1)], [256, "s44", "s299"]);
  assert.deepEqual(reportedCodes(), Array(44).fill("inbox-overflow"));
});

test("binary frames are read as UTF-8", async () => {
  const transport = await opened();
  const heard = [];
  transport.onServerPush(([first]) => heard.push(first.data.text));
  const bytes = new TextEncoder().encode(JSON.stringify({ type: "server_push", payload: [{ ...change("s"), data: { text: "é😀" } }] }));
  network.socket.say(bytes.buffer);
  network.socket.say(bytes);
  network.socket.say(new Blob([bytes]));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ["é😀", "é😀", "é😀"]);
});

// -------------------------------------------------------------------------------------------------- states

test("state changes are told in order, with what is known about them", async () => {
  const transport = make();
  const heard = [];
  const stop = transport.onStateChange(({ state, reason }) => heard.push(reason ? `${state} (${reason})` : state));
  transport.connect();
  network.socket.accept();
  network.socket.drop(1006);
  tick(3751);
  network.socket.drop(1006);
  await transport.disconnect();
  stop();
  transport.connect();
  assert.deepEqual(heard,
    ["connecting", "open", "waiting (connection-lost)", "connecting", "waiting (connect-failed)", "closed"]);
});

test("a listener may disconnect, and nobody is told an old state after a new one", () => {
  const transport = make();
  const heard = [];
  transport.onStateChange(({ state }) => state === "open" && transport.disconnect());
  transport.onStateChange(({ state }) => heard.push(state));
  transport.connect();
  network.socket.accept();
  assert.deepEqual([heard, transport.state], [["connecting", "closed"], "closed"]);
});

test("connect from inside a listener opens before it returns", () => {
  const transport = make();
  let made;
  transport.onStateChange(({ state }) => {
    if (state !== "waiting") return;
    transport.connect();
    made = network.sockets.length;
  });
  transport.connect();
  network.socket.drop();
  assert.deepEqual([made, transport.state], [2, "connecting"]);
});

test("a thousand reconnects leave no handler and no timer behind", async () => {
  const [set, cleared] = [mock.method(globalThis, "setTimeout"), mock.method(globalThis, "clearTimeout")];
  const transport = await opened({ maxReconnectAttempts: 0 });
  for (let turn = 0; turn < 1000; turn += 1) {
    transport.reconnect();
    network.socket.accept();
  }
  assert.equal(network.sockets.filter((made) => made.isHeard).length, 1);
  await transport.disconnect();
  assert.equal(network.sockets.filter((made) => made.isHeard).length, 0);
  assert.ok(set.mock.callCount() >= 1001);
  assert.equal(cleared.mock.callCount(), set.mock.callCount());
});
