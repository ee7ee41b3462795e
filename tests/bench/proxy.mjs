// A TCP proxy before a relay that counts what travels: frames, their heads and the upgrade, as a network sees them. Decides
// nothing; used by the part about bytes on the wire.

import { once } from "node:events";
import { createServer, connect } from "node:net";

export class Proxy {
  #bytes = { up: 0, down: 0 };
  #server;
  #open = new Set();

  static async before(relay) {
    const proxy = new Proxy();
    const { hostname, port } = new URL(relay.url);
    proxy.#server = createServer((client) => proxy.#pass(client, connect(Number(port), hostname)));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  #pass(client, relay) {
    for (const socket of [client, relay]) {
      socket.setNoDelay(true);
      this.#open.add(socket);
      // Either end ends both.
      socket.on("error", () => {}).on("close", () => (this.#open.delete(socket), client.destroy(), relay.destroy()));
    }
    client.on("data", (chunk) => (this.#bytes.up += chunk.length)).pipe(relay);
    relay.on("data", (chunk) => (this.#bytes.down += chunk.length)).pipe(client);
  }

  /** Bytes since it was asked before: to the relay, and from it. */
  taken() {
    const taken = this.#bytes;
    this.#bytes = { up: 0, down: 0 };
    return taken;
  }

  /** Where a `WsTransport` of the relay protocol connects. */
  get socket() {
    return `ws://127.0.0.1:${this.#server.address().port}/api/v1/sync`;
  }

  async close() {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
