/// <reference lib="webworker" />
// The service worker: keeps the files of one build and serves them, with or without a network. Nothing else passes
// through it: /api, /sync and /dev are no files, and go to the relay as if it were not there.

declare const self: ServiceWorkerGlobalScope;
/** Written by build/precache.js: the files of this build, and a word that is another one when any of them is. */
declare const PRECACHE: { readonly version: string; readonly files: readonly string[] };

const { version, files } = PRECACHE;
const CACHE = `crsqlite-sync-demo ${version}`;
const PAGE = "index.html";
const SCOPE = new URL("./", self.location.href);

self.addEventListener("install", (event) => {
  // Asked from the server, which answers 304 where the browser has the very file already.
  const requests = files.map((file) => new Request(new URL(file, SCOPE), { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  const older = async (): Promise<void> => {
    const names = (await caches.keys()).filter((name) => name.startsWith("crsqlite-sync-demo ") && name !== CACHE);
    await Promise.all(names.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(older());
});

self.addEventListener("message", ({ data }) => {
  if (data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== SCOPE.origin || !pathname.startsWith(SCOPE.pathname)) return;
  const file = pathname.slice(SCOPE.pathname.length) || PAGE;
  if (!files.includes(file)) return;
  const kept = async (): Promise<Response> => (await (await caches.open(CACHE)).match(new URL(file, SCOPE))) ?? fetch(request);
  event.respondWith(kept());
});

export {};
