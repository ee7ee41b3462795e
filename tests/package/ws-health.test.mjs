// WsTransport and connections that are not what they seem: silence, sleep, pages that come and go, sockets that never say
// how they ended, credentials that expire, an uplink that is stuck.
import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";
import {
  answer, errorOf, inPage, make, microtasks, network, on, opened, page, reportedCodes, reports, tick,
} from "./contract.mjs";

const probes = () => network.socket.frames.filter(({ requestId }) => requestId?.startsWith("probe_"));
const answersProbe = (payload = page, type = "pull_result") =>
  network.socket.say({ type, requestId: probes().at(-1).requestId, payload });

describe("a server that is silent", () => {
  test("is made to speak by a pull of one, whose answer nobody is told of", async () => {
    const transport = await opened();
    tick(29_999);
    assert.deepEqual(probes(), []);
    tick(1);
    assert.deepEqual(probes().map(({ type, payload }) => ({ type, payload })), [{ type: "pull", payload: { batchSize: 1 } }]);
    answersProbe();
    tick(10_000);
    assert.deepEqual([transport.state, network.sockets.length, reportedCodes()], ["open", 1, []]);
  });

  test("has spoken when it answers with an error", async () => {
    const transport = await opened();
    tick(30_000);
    answersProbe({ message: "no" }, "error");
    tick(10_000);
    assert.deepEqual([transport.state, network.sockets.length, reportedCodes()], ["open", 1, []]);
  });

  test("is given up, and replaced at once where it had proved itself", async () => {
    const transport = await opened();
    const pull = transport.pull();
    answer(network.socket.frames[0], page);
    await pull;
    const first = network.socket;
    tick(30_000);
    tick(10_000);
    assert.deepEqual([first.closed?.code, first.isHeard, network.sockets.length], [1000, false, 2]);
    assert.deepEqual([transport.state, transport.status.reason], ["connecting", "heartbeat-timeout"]);
  });

  test("is left alone while it says anything at all", async () => {
    await opened();
    for (let turn = 0; turn < 10; turn += 1) {
      tick(20_000);
      network.socket.say({ type: "server_push", payload: [] });
    }
    assert.deepEqual(probes(), []);
  });

  test("is not asked while a request waits: its answer is the sign of life", async () => {
    const transport = await opened({ requestTimeoutMs: 300_000 });
    transport.pull();
    tick(30_000);
    tick(10_000);
    assert.deepEqual(probes(), []);
  });

  test("is doubted when a request has timed out", async () => {
    const transport = await opened({ requestTimeoutMs: 5000, heartbeatMs: 0 });
    const pull = transport.pull();
    tick(5000);
    assert.equal((await errorOf(pull)).code, "request-timeout");
    assert.equal(probes().length, 1);
    tick(10_000);
    assert.notEqual(transport.state, "open");
  });

  test("is never asked with heartbeatMs 0", async () => {
    await opened({ heartbeatMs: 0 });
    tick(3_600_000);
    assert.deepEqual([network.sockets.length, network.socket.received], [1, []]);
  });

  test("has the time that the app gives it", async () => {
    const transport = await opened({ heartbeatMs: 1000, heartbeatTimeoutMs: 200 });
    tick(1000);
    tick(199);
    assert.equal(transport.state, "open");
    tick(1);
    assert.notEqual(transport.state, "open");
  });

  test("is not condemned by a timer that comes late: bytes may wait behind it", async () => {
    const transport = await opened();
    tick(30_000);
    tick(15_000);
    assert.equal(transport.state, "open");
    answersProbe();
    tick(10_000);
    assert.equal(transport.state, "open");
  });
});

describe("the relay protocol", () => {
  test("lets the app make the peer speak, and believes its word that it must", async () => {
    const transport = await opened({ protocol: "relay" });
    const probe = mock.fn(() => true);
    transport.onProbe(probe);
    tick(30_000);
    assert.equal(probe.mock.callCount(), 1);
    tick(10_000);
    assert.notEqual(transport.state, "open");
  });

  test("gives up nobody who need not answer, and asks nobody when there is no listener", async () => {
    const transport = await opened({ protocol: "relay" });
    tick(30_000);
    tick(10_000);
    const stop = transport.onProbe(() => false);
    tick(30_000);
    tick(10_000);
    stop();
    assert.deepEqual([transport.state, network.sockets.length, network.socket.received], ["open", 1, []]);
  });

  test("counts any frame as an answer", async () => {
    const transport = await opened({ protocol: "relay" });
    transport.onProbe(() => true);
    tick(30_000);
    network.socket.say("anything");
    tick(10_000);
    assert.equal(transport.state, "open");
  });
});

describe("a page", () => {
  test("that goes offline waits without counting, and connects at once when it is back", async (t) => {
    const around = inPage(t);
    const transport = await opened({ maxReconnectAttempts: 1 });
    around.network(false);
    network.socket.drop();
    assert.equal(transport.state, "offline");
    around.network(true);
    assert.deepEqual([transport.state, network.sockets.length], ["connecting", 2]);
  });

  test("that says it is offline may be wrong: an open socket is doubted, not killed", async (t) => {
    const around = inPage(t);
    const transport = await opened();
    around.network(false);
    assert.deepEqual([transport.state, probes().length], ["open", 1]);
    answersProbe();
    tick(10_000);
    assert.equal(transport.state, "open");
  });

  test("that is hidden has four times the patience", async (t) => {
    const around = inPage(t);
    await opened();
    around.show("hidden");
    // The first look was set for a page that is seen.
    tick(30_000);
    tick(89_999);
    assert.deepEqual(probes(), []);
    tick(1);
    assert.equal(probes().length, 1);
  });

  for (const [what, happens] of Object.entries({
    "shown after a long while": (around) => { around.show("hidden"); tick(25_000); around.show("visible"); },
    "resumed after it was frozen": (around) => { around.fire("freeze"); around.fire("resume"); },
    "restored from the cache": (around) => around.fire("pageshow", { persisted: true }),
    "back online": (around) => around.network(true),
  })) {
    test(`that is ${what} doubts its socket at once`, async (t) => {
      const around = inPage(t);
      const transport = await opened();
      happens(around);
      assert.equal(probes().length, 1);
      tick(10_000);
      assert.notEqual(transport.state, "open");
    });

    test(`that is ${what} cuts a wait short`, async (t) => {
      const around = inPage(t);
      await opened({ reconnectIntervalMs: 60_000 });
      network.socket.drop();
      assert.equal(network.sockets.length, 1);
      happens(around);
      assert.equal(network.sockets.length, 2);
    });
  }

  test("that flips to and fro hammers nobody", async (t) => {
    const around = inPage(t);
    const transport = await opened({ reconnectIntervalMs: 10_000, maxReconnectAttempts: 0 });
    for (let turn = 0; turn < 100; turn += 1) {
      if (transport.state === "connecting") network.socket.accept();
      if (transport.state === "open") network.socket.drop();
      around.show("hidden");
      around.show("visible");
      around.network(true);
      tick(100);
    }
    assert.ok(network.sockets.length <= 4, String(network.sockets.length));
  });

  test("that is left closes its socket, and the one that comes back has it again", async (t) => {
    const around = inPage(t);
    const transport = await opened();
    around.fire("pagehide", { persisted: true });
    tick(3_600_000);
    assert.deepEqual([transport.state, transport.status.reason, network.sockets.length], ["waiting", "page-hidden", 1]);
    around.fire("pageshow", { persisted: true });
    assert.deepEqual([transport.state, network.sockets.length], ["connecting", 2]);
  });

  test("is listened to only while the transport is wanted", async (t) => {
    const around = inPage(t);
    const transport = make();
    assert.equal(around.listeners.size, 0);
    transport.connect();
    network.socket.accept();
    assert.ok(around.listeners.size > 0);
    await transport.disconnect();
    assert.equal(around.listeners.size, 0);
  });

  test("may have neither events nor a document", async (t) => {
    const around = inPage(t);
    for (const name of ["addEventListener", "removeEventListener", "document", "navigator"]) {
      Object.defineProperty(globalThis, name, { value: undefined, configurable: true });
    }
    const transport = await opened();
    await transport.disconnect();
    assert.deepEqual([transport.state, around.listeners.size], ["closed", 0]);
  });
});

describe("a socket", () => {
  test("that is closed and never says so is given up and replaced", async () => {
    const transport = await opened();
    network.socket.orphan();
    assert.equal((await errorOf(transport.pull())).code, "not-connected");
    tick(2000);
    tick(3751);
    assert.equal(network.sockets.length, 2);
  });

  test("whose uplink is stuck takes nothing more, and says so", async () => {
    on();
    const transport = await opened();
    network.socket.bufferedAmount = 17 * 1024 * 1024;
    const error = await errorOf(transport.pull());
    assert.deepEqual([error.code, error.retryable, network.socket.received], ["outbox-overflow", true, []]);
    network.socket.bufferedAmount = 0;
    transport.pull();
    assert.equal(network.socket.received.length, 1);
  });

  test("whose uplink is stuck takes no frame of the relay protocol either", async () => {
    on();
    const transport = await opened({ protocol: "relay" });
    network.socket.bufferedAmount = 17 * 1024 * 1024;
    assert.equal(transport.send("x"), false);
    network.socket.bufferedAmount = 0;
    assert.equal(transport.send("x"), true);
  });

  test("tells requests that it takes with it how it was closed, and how long to wait", async () => {
    const transport = await opened();
    const pull = transport.pull();
    network.socket.close(1013, "retryAfter=5000");
    const error = await errorOf(pull);
    assert.deepEqual([error.code, error.closeCode, error.retryAfter], ["disconnected", 1013, 5000]);
  });
});

describe("expired credentials", () => {
  test("are asked for once, and one more attempt is made when they are there", async () => {
    let renew;
    const onAuthRequired = mock.fn(() => new Promise((resolve) => (renew = resolve)));
    const transport = await opened({ onAuthRequired });
    network.socket.close(4401, "expired");
    tick(3_600_000);
    assert.deepEqual([transport.state, onAuthRequired.mock.callCount(), network.sockets.length], ["connecting", 1, 1]);
    assert.equal(transport.status.reason, "unauthenticated");
    renew();
    await microtasks();
    assert.deepEqual([transport.state, network.sockets.length], ["connecting", 2]);
  });

  test("that are refused again wait for the app, and reconnect makes them askable again", async () => {
    const onAuthRequired = mock.fn();
    const transport = await opened({ onAuthRequired });
    for (let turn = 0; turn < 2; turn += 1) {
      network.socket.close(4001);
      await microtasks();
      if (transport.state === "connecting") network.socket.accept();
    }
    tick(3_600_000);
    assert.deepEqual([transport.state, onAuthRequired.mock.callCount(), network.sockets.length], ["needs-auth", 1, 2]);
    transport.reconnect();
    network.socket.accept();
    network.socket.close(4001);
    await microtasks();
    assert.equal(onAuthRequired.mock.callCount(), 2);
  });

  test("are askable again once the server has answered", async () => {
    const onAuthRequired = mock.fn();
    const transport = await opened({ onAuthRequired });
    network.socket.close(4001);
    await microtasks();
    network.socket.accept();
    const pull = transport.pull();
    answer(network.socket.frames[0], page);
    await pull;
    network.socket.close(4001);
    await microtasks();
    assert.equal(onAuthRequired.mock.callCount(), 2);
  });

  test("whose renewal fails wait for the app, and the failure is reported", async () => {
    const why = new Error("signed out");
    const transport = await opened({ onAuthRequired: () => Promise.reject(why) });
    network.socket.close(4001);
    await microtasks();
    tick(3_600_000);
    assert.deepEqual([transport.state, network.sockets.length, reportedCodes()], ["needs-auth", 1, ["listener-threw"]]);
    assert.equal(reports()[0].cause, why);
  });

  test("that come after disconnect open nothing", async () => {
    let renew;
    const transport = await opened({ onAuthRequired: () => new Promise((resolve) => (renew = resolve)) });
    network.socket.close(4001);
    await transport.disconnect();
    renew();
    await microtasks();
    assert.deepEqual([transport.state, network.sockets.length], ["closed", 1]);
  });
});
