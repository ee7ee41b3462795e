// A device whose author has read the seed's page and nothing else: five messages with their fields, plain JSON, and the two
// statements that cr-sqlite's own page shows. Knows no runs, no cursors, no additions, and asks since one number.
import { openWith } from "./database.mjs";

const COLUMNS = `"table", pk, cid, val, col_version, db_version, site_id, cl, seq`;
const encode = (bytes) => Buffer.from(bytes).toString("base64");
const decode = (text) => new Uint8Array(Buffer.from(text, "base64"));

export class SeedPeer {
  /** What came that the page does not know. */
  surprises = [];
  /** How often each message came. */
  heard = {};
  #since = 0;
  #pushed = 0;
  #busy = Promise.resolve();
  #socket;

  static async open(schema) {
    const peer = new SeedPeer();
    peer.db = await openWith(schema);
    const [[site]] = await peer.db.execA("SELECT crsql_site_id()");
    peer.siteId = encode(site);
    return peer;
  }

  /** Comes online, and asks for what has happened since. */
  connect(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => (this.#busy = this.#busy.then(() => this.#hear(JSON.parse(data))));
    this.#say("sync_request", { sinceVersion: this.#since });
  }

  disconnect() {
    this.#socket.onmessage = null;
    this.#socket.close();
    this.#socket = undefined;
  }

  /** Writes, and tells the others if it is online. */
  async write(sql) {
    await this.db.exec(sql);
    if (!this.#socket) return;
    const changes = await this.#changes(`db_version > ${this.#pushed} AND site_id = crsql_site_id()`);
    const baseVersion = this.#pushed;
    this.#pushed = await this.#version();
    this.#say("sync_push", { changes, baseVersion });
  }

  #say(type, payload) {
    this.#socket?.send(JSON.stringify({ type, version: 1, siteId: this.siteId, timestamp: Date.now(), payload }));
  }

  async #hear({ type, version, payload }) {
    this.heard[type] = (this.heard[type] ?? 0) + 1;
    if (version !== 1) this.surprises.push({ type, version });
    if (type === "sync_request") {
      this.#say("sync_response", { changes: await this.#changes(`db_version > ${payload.sinceVersion}`), currentVersion: await this.#version() });
    } else if (type === "sync_response") {
      await this.#apply(payload.changes);
      this.#since = payload.currentVersion;
    } else if (type === "sync_push") {
      await this.#apply(payload.changes);
      const receivedVersion = Math.max(payload.baseVersion, ...payload.changes.map((change) => change.db_version));
      this.#say("sync_ack", { receivedVersion, appliedCount: payload.changes.length });
    } else if (type !== "sync_ack") this.surprises.push({ type, payload });
  }

  async #apply(changes) {
    for (const { table, pk, cid, val, col_version, db_version, site_id, cl, seq } of changes) {
      const values = [table, decode(pk), cid, val, col_version, db_version, decode(site_id), cl, seq];
      await this.db.exec(`INSERT INTO crsql_changes (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, values);
    }
  }

  async #changes(which) {
    const rows = (await this.db.execA(`SELECT ${COLUMNS} FROM crsql_changes WHERE ${which}`)) ?? [];
    return rows.map(([table, pk, cid, val, col_version, db_version, site_id, cl, seq]) => ({ table, pk: encode(pk), cid, val, col_version, db_version, site_id: encode(site_id), cl, seq }));
  }

  async #version() {
    return (await this.db.execA("SELECT crsql_db_version()"))[0][0];
  }
}
