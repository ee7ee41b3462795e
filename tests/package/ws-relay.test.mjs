// WsTransport with the relay protocol: text frames, moved as they are.
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorOf, make, network, opened, tick, url } from "./contract.mjs";

test("relay: frames go out as they are and come in as they are", async () => {
  const transport = await opened({ protocol: "relay" });
  const heard = [];
  transport.onMessage((frame) => heard.push(frame));
  assert.equal(transport.send("out"), true);
  network.socket.say("in");
  assert.deepEqual([network.socket.received, heard], [["out"], ["in"]]);
});

test("relay: headers are refused, for they would be sent to nobody", () => {
  assert.throws(() => make({ protocol: "relay", headers: { token: "t" } }), (error) => error.code === "bad-option" && /cookie auth_token/.test(error.message));
  assert.throws(() => make({ protocol: "relay", headers: () => ({}) }), { code: "bad-option" });
  make({ protocol: "relay", headers: undefined });
});

test("relay: send says false when there is no open connection", async () => {
  const transport = make({ protocol: "relay" });
  assert.equal(transport.send("x"), false);
  transport.connect();
  assert.equal(transport.send("x"), false);
  network.socket.accept();
  network.socket.client.readyState = 2;
  assert.equal(transport.send("x"), false);
});

test("relay: frames that come before the first listener wait, but not beyond their connection", async () => {
  const transport = await opened({ protocol: "relay" });
  network.socket.say("lost with its connection");
  network.socket.drop();
  tick(1251);
  network.socket.accept();
  network.socket.say("one");
  network.socket.say("two");
  const heard = [];
  transport.onMessage((frame) => heard.push(frame));
  assert.deepEqual(heard, ["one", "two"]);
});

test("relay: it waits a second, for ever, and healthy() brings that back", async () => {
  const transport = await opened({ protocol: "relay" });
  for (let turn = 0; turn < 20; turn += 1) {
    network.socket.drop();
    tick(300_000);
    network.socket.accept();
  }
  transport.healthy();
  network.socket.drop();
  assert.ok(transport.status.retryAt - Date.now() <= 1251);
});

test("relay: push and pull are refused, and the address is shown", async () => {
  const transport = await opened({ protocol: "relay" });
  assert.equal((await errorOf(transport.push([]))).code, "bad-option");
  assert.deepEqual([transport.url, make({ url: () => url }).url, make({ url: new URL(url) }).url], [url, undefined, url]);
});

test("dropping a connection tries again with backoff", async () => {
  const transport = await opened({ protocol: "relay" });
  transport.drop();
  assert.deepEqual([transport.state, transport.status.reason, network.socket.closed?.code], ["waiting", "dropped", 1000]);
});
