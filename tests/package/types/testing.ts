// The entry for apps' tests.
import { FakeNetwork, ServerSocket, type Faults, type ServerRequest } from "crsqlite-sync/testing";

const storm: Faults = { drop: 0.1, lose: 0.1, duplicate: 0.1, reorder: 0.1, delayMs: [5, 50] };
using network = new FakeNetwork({ seed: 7, faults: storm, closing: "never" }).install();
network.onSocket = (socket: ServerSocket) => void socket.accept().say({ hello: 1 }).close(4001, "who are you?");
network.onRequest = (request: ServerRequest) => {
  if (request.path === "/sync/push") request.limit(3);
  else request.respond({ changes: [] }, { headers: { etag: "1" }, bodyDelayMs: 5 });
};
const socket: WebSocket = new network.WebSocket("wss://example.test");
const code: number | undefined = network.socket.closed?.code;
const frame: Promise<any> = network.nextSocket().then((made) => made.nextFrame());

// @ts-expect-error only the network makes it
new ServerSocket();
// @ts-expect-error a misspelt fault is found
new FakeNetwork({ faults: { dropp: 1 } });
// @ts-expect-error there are three ways to close
new FakeNetwork({ closing: "later" });
// @ts-expect-error what was received is read, not written
network.socket.received.push("{}");

export { code, frame, socket };
