// One user's log at a real relay, spoken to by hand: a few sockets of the relay protocol, and the endpoints of the other
// one. Checks of everything it hears that it comes in the order of offsets, without a gap. Used by `history`.
import assert from "node:assert/strict";
import { parse, record, rowOfRecord } from "./rows.mjs";

const envelope = (type, site, payload) => JSON.stringify({ type, version: 1, siteId: site, timestamp: 0, payload });

/** A socket that says nothing by itself. */
class Voice {
  #socket;
  #waiting = new Map();
  #asked = 0;
  /** Up to here it has heard of the log. */
  #heard;

  constructor(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(parse(data));
    socket.onclose = ({ code }) => this.#fail(new Error(`the relay has closed the connection (${code})`));
  }

  /** The answer to a message. */
  ask(type, site, payload) {
    const ref = `r${(this.#asked += 1)}`;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ref, { resolve, reject });
      this.#socket.send(envelope(type, site, { ...payload, ref, run: "by hand" }));
    });
  }

  #hear({ type, siteId, payload }) {
    const place = payload.relay;
    try {
      if (place) {
        assert.ok(this.#heard === undefined || place.baseVersion === this.#heard, `after ${this.#heard} comes ${JSON.stringify(place)}`);
        this.#heard = place.version;
      }
      if (type === "sync_push") return;
      assert.notEqual(type, "sync_error", JSON.stringify(payload));
    } catch (error) {
      return this.#fail(error);
    }
    this.#waiting.get(payload.ref)?.resolve({ siteId, ...payload });
    this.#waiting.delete(payload.ref);
  }

  #fail(error) {
    this.failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
  }

  close() {
    this.#socket.onclose = null;
    this.#socket.close();
  }
}

export class UserLog {
  static async open(relay, user, sockets) {
    const log = new UserLog();
    log.voices = await Promise.all(Array.from({ length: sockets }, async () => new Voice(await relay.socket(user))));
    const { Authorization: authorization } = await relay.headers(user);
    log.post = async (path, body) => {
      const answer = await fetch(`${relay.origin}/sync/${path}`, { method: "POST", headers: { authorization, "content-type": "application/json" }, body: JSON.stringify(body) });
      assert.equal(answer.status, 200, await answer.clone().text());
      return answer.json();
    };
    return log;
  }

  close() {
    for (const voice of this.voices) voice.close();
    for (const { failure } of this.voices) if (failure) throw failure;
  }

  /** Stores rows by one of the sockets, or as records where there is none of that number. */
  async push(site, rows, by) {
    if (by < this.voices.length) {
      const ack = await this.voices[by].ask("sync_push", site, { changes: rows.map(({ row }) => row), baseVersion: 0 });
      assert.deepEqual([ack.durable, ack.rejected ?? []], [true, []]);
    } else {
      const changes = rows.map(record);
      const { accepted, conflicts, errors } = await this.post("push", { changes });
      assert.deepEqual([new Set(accepted.map(({ id }) => id)), conflicts, errors], [new Set(changes.map(({ id }) => id)), [], []]);
    }
  }

  /** The next page of what a replica has not received; true if there is more after it. */
  async read(replica, by) {
    const { cursor } = replica;
    const voice = this.voices[by % this.voices.length];
    const page = await voice.ask("sync_request", replica.site, { sinceVersion: 0, cursors: cursor ? { [cursor.log]: cursor.place } : {} });
    assert.ok(page.baseVersion <= (cursor?.place[1] ?? 0), `a page begins at ${page.baseVersion}, beyond ${JSON.stringify(cursor)}`);
    await replica.merge(page.changes);
    const place = [page.run, page.currentVersion, ...(page.more ? [page.head] : [])];
    assert.ok(!page.more || page.currentVersion > page.baseVersion, "a page stands still");
    replica.cursor = { log: page.siteId, place };
    return page.more === true;
  }

  /** Everything, by the other protocol, in pages of this size. */
  async pulled(batchSize) {
    const pages = [];
    for (let cursor; ; ) {
      const page = await this.post("pull", { batchSize, ...(cursor && { cursor }) });
      pages.push(page.changes.map(rowOfRecord));
      if (!page.hasMore) return pages;
      assert.ok(page.changes.length > 0 && page.cursor !== cursor, "a pull stands still");
      cursor = page.cursor;
    }
  }
}
