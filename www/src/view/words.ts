// The words for a client's status. Decides wording only. Called by the device card.

import type { SyncState, SyncStatus } from "crsqlite-sync";
import type { Device } from "../device";
import { SLOW_MS } from "../link";

const STATES: Record<SyncState, string> = {
  stopped: "Stopped",
  standby: "Standby",
  offline: "Offline",
  connecting: "Connecting",
  "catching-up": "Catching up",
  live: "Live",
  "needs-auth": "Signed out",
  failed: "Stopped",
};

/** Reasons of a client or a transport that people can read more in than the bare word. */
const REASONS: Record<string, string> = {
  "server-closed": "The relay closed the connection.",
  "server-timeout": "The relay waited in vain.",
  "server-error": "The relay failed.",
  "connection-lost": "The connection broke.",
  "connect-failed": "The relay does not answer.",
  "connect-timeout": "The relay does not answer.",
  "heartbeat-timeout": "The relay fell silent.",
  "try-again-later": "The relay asks for patience.",
  "too-many-requests": "The relay asks for patience.",
  dropped: "The connection was broken here.",
  "page-hidden": "This page was left.",
  unauthenticated: "The relay does not know who this is.",
  "account-changed": "This database belongs to another account.",
  "cloned-database": "Another device has a copy of this database.",
  "not-leading": "Another tab has taken over.",
  "database-closed": "The database was closed.",
  "storage-full": "There is no room left on this disk.",
};

export function stateWord(state: SyncState): string {
  return STATES[state];
}

export function reasonWords(reason: string | undefined): string {
  if (reason === undefined) return "";
  return REASONS[reason] ?? `Reason: ${reason}.`;
}

/** One sentence under the badge: what is going on, why, and what becomes of edits made now. */
export function sentence({ client, reason, online, link }: Device, receiving: boolean, now: number): string {
  const { status } = client;
  const waiting = status.pendingChanges;
  const kept = "Edits are kept here.";
  if (!online) return `Switched off. ${kept}`;
  switch (status.state) {
    case "live":
      if (waiting > 0) return `Sending ${count(waiting, "change")}.`;
      if (link.quality === "silent") return "Nothing gets through, and nobody knows yet.";
      if (link.quality === "slow") return `In step, over a slow link: ${SLOW_MS} ms more in each direction.`;
      return receiving ? "Applying what has come." : "In step with the relay.";
    case "catching-up":
      return link.quality === "silent" ? "Connected again, and still hearing nothing." : "Fetching what happened elsewhere.";
    case "connecting":
      return [reasonWords(reason), retry(status.retryAt, now), kept].filter(Boolean).join(" ");
    case "offline":
      return `This browser has no network. ${kept}`;
    case "standby":
      return "Another tab keeps this device in step.";
    case "needs-auth":
      return `The relay wants a new sign-in. ${kept}`;
    case "failed":
      return `${reasonWords(reason)} ${kept}`;
    case "stopped":
      return `Not running. ${kept}`;
  }
}

/** Live with nothing pending is in step at this moment; the client's own time is for when that has ended. */
export function synced(status: SyncStatus, now: number): string {
  return status.state === "live" && status.pendingChanges === 0 ? "now" : ago(status.lastSyncedAt, now);
}

export function verified({ verifiedAt }: SyncStatus, now: number): string {
  return verifiedAt === undefined ? "not yet" : ago(verifiedAt, now);
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
  return then.toLocaleString("en-GB", sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export function milliseconds(value: number | undefined): string {
  if (value === undefined) return "–";
  if (value < 1) return "< 1 ms";
  return value < 10_000 ? `${Math.round(value)} ms` : `${Math.round(value / 1000)} s`;
}

export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  return value < 1_000_000 ? `${(value / 1000).toFixed(1)} kB` : `${(value / 1_000_000).toFixed(1)} MB`;
}

export function count(number: number, thing: string): string {
  return `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
}

function retry(retryAt: number | undefined, now: number): string {
  if (retryAt === undefined || retryAt <= now) return "Looking for the relay.";
  return `Next try in ${Math.ceil((retryAt - now) / 1000)} s.`;
}
