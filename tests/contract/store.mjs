// The log of a contract server: which changes it has, in which order, and what a pull of them answers. Knows nothing of
// HTTP or sockets, and outlives the server that speaks for it, as a disk would.

/** The log. `judge(change)` may refuse: `{ error: "…" }`, or `{ conflict: { remote, … } }`. */
export class ContractStore {
  /** Names this log in its cursors, so that those of another log are recognised. */
  name = Math.random().toString(36).slice(2, 8);
  changes = [];
  #ids = new Set();

  constructor({ judge = () => undefined } = {}) {
    this.judge = judge;
  }

  /** Books changes; what was booked before is accepted again. Returns the result and what is new. */
  push(changes) {
    const result = { accepted: [], conflicts: [], errors: [] };
    const fresh = [];
    for (const change of changes) {
      const verdict = this.#ids.has(change?.id) ? undefined : (invalid(change) ?? this.judge(change));
      if (verdict?.error) result.errors.push({ id: String(change?.id), error: verdict.error });
      else if (verdict?.conflict) result.conflicts.push(conflict(change, verdict.conflict));
      else {
        if (!this.#ids.has(change.id)) fresh.push(this.#book(change));
        result.accepted.push({ id: change.id, serverTimestamp: new Date().toISOString() });
      }
    }
    return { result, fresh };
  }

  #book({ id, collection, recordId, type, data, timestamp }) {
    const booked = { id, collection, recordId, type, data: data ?? null, timestamp };
    this.#ids.add(id);
    this.changes.push(booked);
    return booked;
  }

  /** One page after the cursor. The cursor passes over what the filter leaves out, so that every page makes progress. */
  pull({ cursor, collections, batchSize, nullAtEnd = false }) {
    const from = cursor == null ? 0 : this.#place(cursor);
    if (from === undefined) return undefined;
    const wanted = ({ collection }) => !collections?.length || collections.includes(collection);
    const changes = [];
    let at = from;
    while (at < this.changes.length && changes.length < batchSize) {
      const change = this.changes[at++];
      if (wanted(change)) changes.push(change);
    }
    const hasMore = this.changes.slice(at).some(wanted);
    if (!hasMore) at = this.changes.length;
    return { changes, cursor: nullAtEnd && !hasMore ? null : `${this.name}:${at}`, hasMore };
  }

  #place(cursor) {
    const [name, at] = String(cursor).split(":");
    return name === this.name && Number(at) <= this.changes.length ? Number(at) : undefined;
  }

  /**
   * As the contract's reference server does it: the cursor is the id of the last change that was handed out, an unknown
   * one is the beginning, and a page is cut before it is filtered. So an empty page repeats its cursor, and says for ever
   * that there is more.
   */
  pullAsReference({ cursor, collections, batchSize }) {
    const from = this.changes.findIndex(({ id }) => id === cursor) + 1;
    const cut = this.changes.slice(from, from + batchSize);
    const changes = collections?.length ? cut.filter(({ collection }) => collections.includes(collection)) : cut;
    return { changes, cursor: changes.at(-1)?.id ?? cursor ?? null, hasMore: from + batchSize < this.changes.length };
  }
}

function invalid(change) {
  if (typeof change?.id !== "string") return { error: "a change needs an id" };
  if (typeof change.collection !== "string") return { error: "a change needs a collection" };
  return ["create", "update", "delete"].includes(change.type) ? undefined : { error: `unknown type ${change.type}` };
}

function conflict(change, { remote = null, remoteTimestamp = new Date().toISOString(), fieldConflicts = [] }) {
  const { id: changeId, recordId, collection, data: local, timestamp: localTimestamp } = change;
  return { changeId, recordId, collection, local, remote, localTimestamp, remoteTimestamp, fieldConflicts };
}
