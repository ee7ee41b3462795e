"use client";
// The entry `crsqlite-sync/react`: what the client and the database say, as hooks. Decides nothing: live.js runs queries,
// the client tells its status. Imports React and no wasm, and may be imported on a server.

import { useMemo, useSyncExternalStore } from "react";
import { liveQuery } from "./live.js";

const unsubscribe = () => {};
const NO_CLIENT = Object.freeze({
  state: "stopped",
  pendingChanges: 0,
  quarantined: 0,
  rejected: 0,
  progress: Object.freeze({ received: 0, sent: 0 }),
});
const NO_QUERY = {
  current: Object.freeze({ data: undefined, error: undefined, loading: true, refresh: unsubscribe }),
  subscribe: () => unsubscribe,
};
const serverStatus = () => NO_CLIENT;

export function useSyncStatus(client) {
  const { subscribe, current } = useMemo(() => statusOf(client), [client]);
  return useSyncExternalStore(subscribe, current, serverStatus);
}

// The client makes a new object each time it is asked; React wants the same one until something changes.
function statusOf(client) {
  let status = client?.status ?? NO_CLIENT;
  const update = (next) => {
    if (JSON.stringify(next) !== JSON.stringify(status)) status = next;
  };
  const subscribe = (changed) => {
    if (!client) return unsubscribe;
    update(client.status); // it may have changed since the rendering
    return client.on("status", (next) => {
      update(next);
      changed();
    });
  };
  return { subscribe, current: () => status };
}

export function useQuery(db, client, sql, bind, options) {
  // Arrays are compared by what they hold, so that they may be written down in the call.
  const query = useMemo(
    () => (db ? liveQuery(db, client, sql, bind, options) : NO_QUERY),
    [db, client, sql, key(bind), key(options?.tables)],
  );
  const current = () => query.current;
  return useSyncExternalStore(query.subscribe, current, current);
}

// Told apart by type and value; JSON alone knows no bigint, no bytes and one kind of NaN.
function key(values) {
  return values && JSON.stringify(values.map((value) => [typeof value, ArrayBuffer.isView(value) ? [...value] : `${value}`]));
}
