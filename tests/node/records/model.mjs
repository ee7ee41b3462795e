// What a server of the contract has to answer about an app's own records: of each thing the newest one, in the order in which
// they were accepted. Written from PROTOCOL.md, section 12. Used by `history`.

const moment = (record) => Date.parse(record.timestamp);
/** The later one wins, at the same moment the one with the larger id. */
const beats = (one, other) => moment(one) > moment(other) || (moment(one) === moment(other) && one.id > other.id);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** 7 is another name than "7". */
export const name = ({ collection, recordId }) => JSON.stringify([collection, recordId]);
/** As a page shows it. */
export const shown = ({ id, collection, recordId, type, data, timestamp }) => ({ id, collection, recordId, type, data: type === "delete" ? null : data, timestamp });

export class Model {
  /** The newest of each thing, in the order of their offsets. */
  newest = new Map();
  /** Ids that were accepted, with the server's time. */
  accepted = new Map();

  /** What becomes of a push; `times` are the server's for the ids that it has accepted. */
  push(changes, times) {
    const result = { accepted: [], conflicts: [], errors: [] };
    const fresh = [];
    for (const change of new Map(changes.map((change) => [change.id, change])).values()) {
      const there = this.newest.get(name(change));
      if (!this.accepted.has(change.id) && there && !beats(change, there)) {
        result.conflicts.push(conflict(change, there));
        continue;
      }
      if (!this.accepted.has(change.id)) {
        this.accepted.set(change.id, times.get(change.id));
        this.newest.delete(name(change));
        this.newest.set(name(change), shown(change));
        fresh.push(shown(change));
      }
      result.accepted.push({ id: change.id, serverTimestamp: this.accepted.get(change.id) });
    }
    return { result, fresh };
  }

  /** Everything of these collections, or of all. */
  list(collections) {
    return [...this.newest.values()].filter(({ collection }) => !collections || collections.includes(collection));
  }
}

function conflict(change, there) {
  const { id, recordId, collection, timestamp } = change;
  const local = shown(change).data;
  return { changeId: id, recordId, collection, local, remote: there.data, localTimestamp: timestamp, remoteTimestamp: there.timestamp, fieldConflicts: fields(local, change.prevData, there.data) };
}

/** What both sides have changed in different ways; where nobody says from what, what differs. */
function fields(local, before, remote) {
  if (!local || !remote) return [];
  const names = [...new Set([...Object.keys(local), ...Object.keys(remote)])].sort();
  const changed = (side, field) => !before || !same(before[field], side[field]);
  return names.filter((field) => !same(local[field], remote[field]) && changed(local, field) && changed(remote, field));
}
