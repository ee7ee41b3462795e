// A device of an app that keeps records of its own, written by hand against the contract: a queue that is pushed when it is
// online, a cursor, and what it was told. It asks by POST, by GET or on a socket. Used by `history`.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { name, shown } from "./model.mjs";

export class App {
  /** Written here and not pushed yet. */
  queue = [];
  /** What the app shows: records by their names. */
  records = new Map();
  cursor;
  /** What came unasked. */
  news = [];
  #asked = 0;
  #waiting = new Map();

  constructor(relay, headers, collections) {
    Object.assign(this, { relay, headers, collections });
  }

  /** A device that asks in this way. */
  static async open(relay, user, way, collections) {
    const app = new App(relay, await relay.headers(user), collections);
    app.way = way;
    if (way === "socket") await app.#connect();
    return app;
  }

  close() {
    this.socket?.close();
  }

  async #connect() {
    this.socket = new WebSocket(`${this.relay.origin.replace("http", "ws")}/sync/ws`);
    this.socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    await new Promise((opened, failed) => Object.assign(this.socket, { onopen: opened, onerror: failed }));
    this.socket.send(JSON.stringify({ type: "auth", payload: this.headers }));
    // Nobody answers an auth frame; whoever is answered was let in.
    await this.#frame("pull", { batchSize: 1 });
  }

  #hear({ type, requestId, payload }) {
    if (type === "server_push") return void this.news.push(...payload);
    this.#waiting.get(requestId)?.({ type, payload });
    this.#waiting.delete(requestId);
  }

  async #frame(type, payload) {
    const requestId = `req_${(this.#asked += 1)}`;
    const answered = new Promise((resolve) => this.#waiting.set(requestId, resolve));
    this.socket.send(JSON.stringify({ type, requestId, payload }));
    const answer = await answered;
    assert.equal(answer.type, `${type}_result`, JSON.stringify(answer));
    return answer.payload;
  }

  async #fetch(path, body) {
    const init = body ? { method: "POST", body: JSON.stringify(body), headers: { ...this.headers, "content-type": "application/json" } } : { headers: this.headers };
    const answer = await fetch(`${this.relay.origin}/sync/${path}`, init);
    assert.equal(answer.status, 200, await answer.clone().text());
    return answer.json();
  }

  push(changes) {
    return this.way === "socket" ? this.#frame("push", { changes }) : this.#fetch("push", { changes });
  }

  /** The page after a cursor. */
  page(cursor, batchSize, collections = this.collections) {
    if (this.way === "socket") return this.#frame("pull", { cursor, collections, batchSize });
    if (this.way === "POST") return this.#fetch("pull", { ...(cursor && { cursor }), collections, batchSize });
    const query = new URLSearchParams({ batchSize, ...(cursor && { cursor }) });
    for (const collection of collections ?? []) query.append("collections", collection);
    return this.#fetch(`pull?${query}`);
  }

  /** The user writes: the app shows it at once. */
  write(change) {
    this.queue.push(change);
    this.records.set(name(change), shown(change));
  }

  /** A result of its own push: where another one is newer, that one counts. */
  settle({ accepted, conflicts, errors }) {
    assert.deepEqual(errors, []);
    const settled = new Set([...accepted.map(({ id }) => id), ...conflicts.map(({ changeId }) => changeId)]);
    this.queue = this.queue.filter(({ id }) => !settled.has(id));
    for (const { collection, recordId, changeId } of conflicts) {
      const key = name({ collection, recordId });
      // What is newer will be pulled.
      if (this.records.get(key)?.id === changeId) this.records.delete(key);
    }
  }

  /** A page: it counts but for what the user has written meanwhile. */
  take({ changes, cursor }) {
    const waiting = new Set(this.queue.map(name));
    for (const change of changes) if (!waiting.has(name(change))) this.records.set(name(change), change);
    this.cursor = cursor;
  }
}
