// A device's line to the relay: a proxy on this machine that can be cut, because no driver takes WebKit offline. It signs
// its device in, as the server of an app would: it adds the cookie of one user and leaves out where the page came from.

import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { Relay } from "../../e2e/harness.mjs";
import { here } from "./programs.mjs";

/** A relay that serves no pages: the apps have servers of their own. */
export const startRelay = () => Relay.start(here("apps/policy"));

export class Link {
  #relay;
  #cookie;
  #server;
  #open = new Set();
  #isCut = false;

  /** `relay` may be killed and started again on its port. */
  static async to(relay, user) {
    const link = new Link();
    link.#relay = new URL(relay.url);
    const login = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user }) };
    const response = await fetch(new URL("dev/login", link.#relay), login);
    link.#cookie = response.headers.getSetCookie()[0].split(";")[0];
    link.#server = createServer((_, answer) => answer.writeHead(404).end());
    link.#server.on("connection", (socket) => (link.#isCut ? socket.destroy() : link.#keep(socket)));
    link.#server.on("upgrade", (request, socket, head) => link.#forward(request, socket, head));
    link.#server.listen(0, "127.0.0.1");
    await once(link.#server, "listening");
    return link;
  }

  /** The address for the app's transport. */
  get url() {
    return `ws://127.0.0.1:${this.#server.address().port}/api/v1/sync`;
  }

  /** Ends what is open; whoever comes is turned away without a word. */
  cut() {
    this.#isCut = true;
    for (const socket of this.#open) socket.destroy();
  }

  mend() {
    this.#isCut = false;
  }

  async close() {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #keep(socket) {
    this.#open.add(socket);
    socket.on("error", () => socket.destroy()); // one side's end is told to the other by "close"
    socket.once("close", () => this.#open.delete(socket));
  }

  #forward(request, socket, head) {
    const { hostname, port, host } = this.#relay;
    const upstream = connect(Number(port), hostname);
    this.#keep(upstream);
    upstream.once("close", () => socket.destroy());
    socket.once("close", () => upstream.destroy());
    const { origin, cookie, ...rest } = request.headers;
    const headers = Object.entries({ ...rest, host, cookie: this.#cookie }).filter(([name]) => !name.startsWith("sec-fetch-"));
    upstream.write([`GET ${request.url} HTTP/1.1`, ...headers.map((header) => header.join(": ")), "", ""].join("\r\n"));
    upstream.write(head);
    upstream.pipe(socket).pipe(upstream);
  }
}
