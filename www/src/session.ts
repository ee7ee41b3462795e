// Who is signed in and which devices this page shows. Decides nothing about syncing; called by main, device and the
// account menu.

/** Accounts that the menu offers; the address may name any other. */
const ACCOUNTS = ["home", "work", "club"];
const NAME = /^[a-z0-9][a-z0-9_-]{0,47}$/i;
const REMEMBERED = "crsqlite-sync-demo.account";
const REMEMBERED_AGAIN = "crsqlite-sync-demo.again";
const MORE_DEVICES = ["third", "fourth", "fifth", "sixth", "seventh", "eighth"];

export interface Session {
  /** Whose databases this page opens: each user has some of their own. */
  readonly user: string;
  /** Whose token the relay gets. Another one than `user` only when somebody wants to see what happens then. */
  signedInAs: string;
  /** Names of the devices on this page: both sides, or the one that the address names. */
  readonly devices: readonly string[];
  /** `?heartbeat=` in milliseconds: how soon a silent connection is doubted. */
  readonly heartbeatMs: number | undefined;
  /** `?rows=`: how many "Fill" writes. */
  readonly fillRows: number;
}

export function readSession(): Session {
  const query = new URLSearchParams(location.search);
  const user = [query.get("user"), localStorage.getItem(REMEMBERED)].find((name) => name && NAME.test(name)) ?? "home";
  const device = query.get("device");
  localStorage.setItem(REMEMBERED, user);
  return {
    user,
    signedInAs: user,
    devices: device && NAME.test(device) ? [device.toLowerCase()] : ["left", "right"],
    heartbeatMs: Number(query.get("heartbeat")) || undefined,
    fillRows: Number(query.get("rows")) || 10_000,
  };
}

export function accounts(current: string): string[] {
  return ACCOUNTS.includes(current) ? ACCOUNTS : [...ACCOUNTS, current];
}

/** Address of this page for another account, another device, or both. */
export function addressOf(user: string, device?: string): string {
  const address = new URL(location.href);
  address.search = "";
  address.hash = "";
  address.searchParams.set("user", user);
  if (device) address.searchParams.set("device", device);
  return address.href;
}

/** The database of one device. It is another one after `startOver`. */
export function databaseOf(user: string, device: string): string {
  const name = `tasks-${user}-${device}`;
  const times = localStorage.getItem(`${REMEMBERED_AGAIN} ${name}`);
  return times ? `${name}-${times}` : name;
}

/**
 * A database whose very first opening was cut off may never open again. It holds nothing then: a new one takes its place,
 * and what the account has comes from the relay. The old one is left as it is, whatever was wrong with it.
 */
export function startOver(user: string, device: string): void {
  const key = `${REMEMBERED_AGAIN} tasks-${user}-${device}`;
  localStorage.setItem(key, String(Number(localStorage.getItem(key) ?? 1) + 1));
  location.reload();
}

const lockOf = (user: string, device: string): string => `crsqlite-sync-demo ${user} ${device}`;

/** Says to the other tabs, for as long as this page lives, which devices are open here. */
export function occupy({ user, devices }: Session): void {
  for (const device of devices) {
    void navigator.locks?.request(lockOf(user, device), { mode: "shared" }, () => new Promise(() => undefined));
  }
}

/** A device of this account that no tab has open. */
export async function freeDevice(user: string): Promise<string> {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  const taken = new Set(held.map(({ name }) => name));
  return MORE_DEVICES.find((device) => !taken.has(lockOf(user, device))) ?? `device-${Date.now().toString(36)}`;
}

/**
 * Asks the relay (`--dev`) for its cookie. The cookie is HttpOnly: the page never sees the token. Rejects with a
 * `TypeError` where the relay cannot be reached, as `fetch` does.
 */
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
export function addressOfRelay(protocol: Protocol): string {
  const address = new URL(protocol === "relay" ? "/api/v1/sync" : "/sync/ws", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}

/** The two protocols that the relay speaks, on the same log. */
export type Protocol = "relay" | "push-pull";
