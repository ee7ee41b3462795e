// A peer that says whatever the test wants: rows that no cr-sqlite would send.
export const STRANGER = Buffer.from("stranger-16-byte").toString("base64");

const base64 = (hex) => Buffer.from(hex, "hex").toString("base64");

/** One row of a message; `pk` as hex. */
export function row({ pk = "010901", ...fields }) {
  return {
    table: "t", pk: base64(pk), cid: "a", val: null, col_version: 1, db_version: 1, site_id: STRANGER, cl: 1, seq: 0,
    ...fields,
  };
}

/** A push with these rows. */
export function push(changes) {
  return { type: "sync_push", version: 1, siteId: STRANGER, timestamp: 0, payload: { changes, baseVersion: 0 } };
}
