// The words for a client's status. Decides wording only. Called by the device card.

import type { SyncState, SyncStatus } from "crsqlite-sync";

const STATES: Record<SyncState, string> = {
  stopped: "Stopped",
  standby: "Standby",
  offline: "Offline",
  connecting: "Connecting",
  "catching-up": "Catching up",
  live: "Live",
  "needs-auth": "Signed out",
  failed: "Failed",
};

export function stateWord(state: SyncState): string {
  return STATES[state];
}

/** One sentence under the badge: what is going on, and what becomes of edits made now. */
export function sentence(status: SyncStatus, switchedOn: boolean, now: number): string {
  const waiting = status.pendingChanges;
  const kept = "Edits are kept here.";
  if (!switchedOn) return `Switched off. ${kept}`;
  switch (status.state) {
    case "live":
      return waiting === 0 ? "In step with the relay." : `Sending ${count(waiting, "change")}.`;
    case "catching-up":
      return "Fetching what happened elsewhere.";
    case "connecting":
      return `${retry(status.retryAt, now)} ${kept}`;
    case "offline":
      return `This browser has no network. ${kept}`;
    case "standby":
      return "Another tab keeps this device in step.";
    case "needs-auth":
      return `The relay wants a new sign-in. ${kept}`;
    case "failed":
      return `Stopped: ${status.reason ?? "unknown reason"}. ${kept} Reload to try again.`;
    case "stopped":
      return `Not running. ${kept}`;
  }
}

/** Live with nothing pending is in step at this moment; the client's own time is for when that has ended. */
export function synced(status: SyncStatus, now: number): string {
  return status.state === "live" && status.pendingChanges === 0 ? "now" : ago(status.lastSyncedAt, now);
}

/** "just now", "12 s ago", "5 min ago", then the clock time. */
function ago(moment: number | undefined, now: number): string {
  if (moment === undefined) return "never";
  const seconds = Math.max(0, Math.round((now - moment) / 1000));
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  const then = new Date(moment);
  const sameDay = then.toDateString() === new Date(now).toDateString();
  return then.toLocaleString([], sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export function milliseconds(value: number | undefined): string {
  if (value === undefined) return "–";
  return value < 1 ? "< 1 ms" : `${Math.round(value)} ms`;
}

export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

function retry(retryAt: number | undefined, now: number): string {
  if (retryAt === undefined || retryAt <= now) return "Looking for the relay.";
  return `Next try in ${Math.ceil((retryAt - now) / 1000)} s.`;
}
