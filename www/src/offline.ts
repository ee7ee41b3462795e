// Makes the page load without a network, and says when a newer one is here. Never reloads by itself: somebody may be
// typing. The worker is sw.ts. Called by main.

import { byId, setText } from "./view/template";

export async function workOffline(): Promise<void> {
  const { serviceWorker } = navigator;
  // Vite's dev server changes files under the page; a worker would serve yesterday's.
  if (!import.meta.env.PROD || !serviceWorker) return;
  const registration = await serviceWorker.register("./sw.js");
  void serviceWorker.ready.then(() => setText(byId("offline"), "Works offline"));

  const offer = (): void => {
    if (!registration.waiting || !serviceWorker.controller) return;
    byId("update").hidden = false;
    byId("update-now").onclick = () => {
      serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      registration.waiting?.postMessage("take over");
    };
  };
  offer();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", offer));
  // Browsers look for a newer version when a page loads; this one may stay open for days.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") registration.update().catch(() => undefined); // offline
  });
}
