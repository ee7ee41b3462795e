"use client";

import { useEffect, useState } from "react";
import initSqlite from "@vlcn.io/crsqlite-wasm";
import { init, SyncClient, WsTransport } from "crsqlite-sync";
import { openNotes } from "../../shared/notes.js";

let opened;

// Once for the page, however often React mounts the component.
async function open(onChange) {
  const { searchParams } = new URL(location.href);
  const [sqlite] = await Promise.all([initSqlite(), init()]);
  const options = { name: searchParams.get("name"), relay: searchParams.get("relay") };
  return openNotes(sqlite, { SyncClient, WsTransport }, options, onChange);
}

export function Notes() {
  const [rows, setRows] = useState([]);
  const [state, setState] = useState("opening");

  useEffect(() => {
    const show = async () => {
      const notes = await opened;
      setRows(await notes.rows());
      setState((await notes.status()).state);
    };
    opened ??= open(() => opened?.then(show));
    opened.then(
      async (notes) => {
        await show();
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
    await (await opened).add(body);
  };
  return (
    <>
      <form onSubmit={add}>
        <input name="body" placeholder="A note" required /> <button>Add</button>
      </form>
      <ul>
        {rows.map((body) => (
          <li key={body}>{body}</li>
        ))}
      </ul>
      <output>{state}</output>
    </>
  );
}
