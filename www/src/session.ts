// Who is signed in and which devices this page shows. Decides nothing about syncing; called by main and device.

/** Accounts that the switcher offers; the address may name any other. */
const ACCOUNTS = ["home", "work", "club"];
const NAME = /^[a-z0-9][a-z0-9_-]{0,47}$/i;
const REMEMBERED = "crsqlite-sync-demo.account";

export interface Session {
  readonly user: string;
  /** Names of the devices on this page: both sides, or the one that the address names. */
  readonly devices: readonly string[];
  /** `?heartbeat=` in milliseconds: how soon a silent connection is doubted. The package's own default without. */
  readonly heartbeatMs: number | undefined;
}

export function readSession(): Session {
  const query = new URLSearchParams(location.search);
  const user = [query.get("user"), localStorage.getItem(REMEMBERED)].find((name) => name && NAME.test(name));
  const device = query.get("device");
  const session = {
    user: user ?? "home",
    devices: device && NAME.test(device) ? [device.toLowerCase()] : ["left", "right"],
    heartbeatMs: Number(query.get("heartbeat")) || undefined,
  };
  localStorage.setItem(REMEMBERED, session.user);
  return session;
}

export function accounts(current: string): string[] {
  return ACCOUNTS.includes(current) ? ACCOUNTS : [...ACCOUNTS, current];
}

/** Address of this page for another account, another device, or both. */
export function addressOf(user: string, device?: string): string {
  const address = new URL(location.href);
  address.search = "";
  address.searchParams.set("user", user);
  if (device) address.searchParams.set("device", device);
  return address.href;
}

/** Asks the relay (`--dev`) for its cookie. The cookie is HttpOnly: the page never sees the token. */
export async function signIn(user: string): Promise<void> {
  const response = await fetch("/dev/login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user }),
    credentials: "same-origin",
  });
  if (!response.ok) throw new Error(`The relay refused the sign-in (${response.status}). Was it started with --dev?`);
}

/** Where the relay listens: the origin that served this page. */
export function relayUrl(): string {
  const address = new URL("/api/v1/sync", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}
