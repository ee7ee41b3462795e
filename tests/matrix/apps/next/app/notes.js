"use client";

import { useEffect, useState } from "react";
import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient, WsTransport } from "crsqlite-sync";
import { useQuery, useSyncStatus } from "crsqlite-sync/react";
import { openNotes } from "../../shared/notes.js";

let opened;

// Once for the page, however often React mounts the component.
async function open() {
  const { searchParams } = new URL(location.href);
  const [sqlite] = await Promise.all([initSqlite(), init()]);
  const options = { name: searchParams.get("name"), relay: searchParams.get("relay") };
  return openNotes(sqlite, { SyncClient, WsTransport }, options, () => {});
}

export function Notes() {
  const [notes, setNotes] = useState();
  const { state } = useSyncStatus(notes?.client);
  const { data: rows = [] } = useQuery(notes?.db, notes?.client, "SELECT body FROM notes ORDER BY body");

  useEffect(() => {
    opened ??= open();
    opened.then(
      (notes) => {
        setNotes(notes);
        window.notes = notes;
        document.documentElement.dataset.notes = "open";
      },
      (error) => (document.documentElement.dataset.notes = `failed: ${error.code}: ${error.message}`),
    );
  }, []);

  const add = async (event) => {
    event.preventDefault();
    const form = event.target;
    const body = new FormData(form).get("body");
    form.reset();
    await notes.add(body);
  };
  return (
    <>
      <form onSubmit={add}>
        <input name="body" placeholder="A note" required /> <button disabled={!notes}>Add</button>
      </form>
      <ul>
        {rows.map(({ body }) => (
          <li key={body}>{body}</li>
        ))}
      </ul>
      <output>{state}</output>
    </>
  );
}
