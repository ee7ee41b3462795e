// A server component: it imports the package, as any shared module of an app may, and nothing of it runs here.
import { connection } from "next/server";
import { SyncClient } from "crsqlite-sync";
import { Notes } from "./notes.js";

export default async function Page() {
  await connection(); // a nonce is of one request: no page is made beforehand
  return (
    <main data-server={typeof SyncClient}>
      <Notes />
    </main>
  );
}
