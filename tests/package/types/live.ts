// Live queries without a framework.
import { SyncClient } from "crsqlite-sync";
import { liveQuery, type LiveQuery, type LiveResult, type QueryDatabase } from "crsqlite-sync/live";

declare const db: QueryDatabase;
declare const client: SyncClient;
interface Task {
  id: string;
  title: string | null;
}

const tasks: LiveQuery<Task> = liveQuery<Task>(db, client, "SELECT id, title FROM tasks WHERE done = ?", [0]);
const off: () => void = tasks.subscribe(({ data, error, loading }) => {
  const title: string | null | undefined = data?.[0]?.title;
  const message: string | undefined = error?.message;
  // @ts-expect-error a row has the columns that were named
  return [title, message, loading, data?.[0]?.titel];
});
const now: LiveResult<Task> = tasks.current;
const any = liveQuery(db, null, "SELECT 1 AS one", [], { tables: ["tasks"] }).current.data?.[0]?.["one"];
tasks.refresh();
// @ts-expect-error the present result is read only
tasks.current = now;
// @ts-expect-error the rows are read only
now.data?.push({ id: "", title: "" });
// @ts-expect-error a statement is needed
liveQuery(db, client);
// @ts-expect-error the names of the tables, in a list
liveQuery(db, client, "SELECT 1", [], { tables: "tasks" });
// @ts-expect-error a database whose rows cannot be read is none
liveQuery({ onUpdate: db.onUpdate }, client, "SELECT 1");

export { any, now, off };
