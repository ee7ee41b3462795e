// The hooks; they need no types of React.
import { SyncClient, type SyncState, type SyncStatus } from "crsqlite-sync";
import { useQuery, useSyncStatus, type LiveResult, type QueryDatabase } from "crsqlite-sync/react";

declare const db: QueryDatabase | undefined;
declare const client: SyncClient | undefined;

function Status(): string {
  const status: SyncStatus = useSyncStatus(client);
  const state: SyncState = useSyncStatus(null).state;
  // @ts-expect-error a client, not its options
  useSyncStatus({ db });
  return `${status.pendingChanges} ${state}`;
}

function Tasks(done: boolean): readonly { id: string }[] {
  const { data = [], error, loading, refresh } = useQuery<{ id: string }>(db, client, "SELECT id FROM tasks WHERE done = ?", [done]);
  const all: LiveResult<Record<string, any>> = useQuery(db, client, "SELECT * FROM tasks", undefined, { tables: ["tasks"] });
  // @ts-expect-error the statement is text
  useQuery(db, client, ["SELECT"]);
  // @ts-expect-error a row has the columns that were named
  void data[0]?.title;
  if (error !== undefined && !loading) refresh();
  void all;
  return data;
}

export { Status, Tasks };
