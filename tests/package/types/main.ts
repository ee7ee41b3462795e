// The main entry, as a strict app uses it, and what it must not let pass.
import start, {
  HttpTransport,
  SyncClient,
  SyncResponseValidationError,
  WsTransport,
  init,
  initSync,
  validatePullResult,
  validatePushResult,
} from "crsqlite-sync";
import type {
  AppliedEvent,
  Database,
  Diagnostics,
  DisconnectReason,
  ErrorCode,
  InitInput,
  KeptRow,
  KeptRowCode,
  Left,
  MessageTransport,
  PrimaryKey,
  SyncError,
  SyncEvents,
  SyncLevel,
  SyncPullResult,
  SyncReason,
  SyncState,
  SyncStatus,
  SyncTransport,
  TransportState,
} from "crsqlite-sync";

/** Compiles where both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};
declare const db: Database;
declare const signal: AbortSignal;

// ------------------------------------------------------------------------------------------------ loading

const inputs: InitInput[] = ["x.wasm", new URL("https://example.test/x.wasm"), new Response(), new Uint8Array(), new ArrayBuffer(8)];
const done: Promise<void> = init();
void init(inputs[0]);
void init(fetch("x.wasm"));
void start(new Request("x.wasm"));
initSync(new Uint8Array());
// @ts-expect-error a number is no wasm
void init(7);
// @ts-expect-error the main entry carries no bytes
initSync();
// @ts-expect-error an address cannot be loaded at once
initSync("x.wasm");

// --------------------------------------------------------------------------------------------- transports

const relay = new WsTransport({ url: "wss://example.test", protocol: "relay", heartbeatMs: 0 });
const pushPull = new WsTransport({ url: async () => "wss://example.test", headers: () => ({ token: "t" }) });
const http = new HttpTransport({
  url: "https://example.test/sync",
  headers: async () => ({ Authorization: "Bearer t" }),
  pullMethod: "GET",
  timeoutMs: 5_000,
  fetchOptions: { credentials: "include" },
  onAuthRequired: () => Promise.resolve(),
});
// @ts-expect-error an address is needed
new WsTransport({});
// @ts-expect-error a misspelt option is found
new WsTransport({ url: "", hearbeatMs: 1 });
// @ts-expect-error there are two protocols
new WsTransport({ url: "", protocol: "pushpull" });
// @ts-expect-error a relay is sent no headers: the token is a cookie
new WsTransport({ url: "", protocol: "relay", headers: { token: "t" } });
const either = (protocol: "relay" | "push-pull"): WsTransport => new WsTransport({ url: "", protocol });
// @ts-expect-error there are two methods
new HttpTransport({ url: "", pullMethod: "PUT" });
// @ts-expect-error headers are words
new HttpTransport({ url: "", headers: { retries: 3 } });

const off: () => void = relay.onStateChange(({ state, reason, retryAt }) => {
  same<TransportState, typeof state>(true);
  same<DisconnectReason | undefined, typeof reason>(true);
  same<number | undefined, typeof retryAt>(true);
  if (state === "needs-auth") relay.reconnect();
  // @ts-expect-error no transport is ever so
  if (state === "disconnected") off();
});
// @ts-expect-error the state is told, not set
relay.state = "open";
const sent: boolean = relay.send("{}");
const pulled: Promise<SyncPullResult> = http.pull({ cursor: null, collections: ["a"], batchSize: 10, signal, timeout: 1 });
void pushPull.push([], { signal });
// @ts-expect-error what is pushed is a list of changes
void pushPull.push({});

// ------------------------------------------------------------------------------------------------- client

const client = new SyncClient({ db, transport: relay, tables: ["tasks"], batchChanges: 100, logger: console });
new SyncClient({ db, transport: http, pullIntervalMs: 0 });
new SyncClient({ db, transport: pushPull, multiTab: false, remoteId: "r" });
// @ts-expect-error a database is needed
new SyncClient({ transport: relay });
// @ts-expect-error a transport is needed
new SyncClient({ db });
// @ts-expect-error a misspelt option is found
new SyncClient({ db, transport: relay, multitab: false });
// @ts-expect-error an address is no transport
new SyncClient({ db, transport: "wss://example.test" });

const status: SyncStatus = client.status;
same<SyncState, typeof status.state>(true);
same<SyncReason | undefined, typeof status.reason>(true);
// @ts-expect-error the status is told, not set
status.pendingChanges = 0;
// @ts-expect-error the status is told, not set
status.progress.sent = 0;

/** Every state has a word here: a new one does not compile. */
const WORDS: Record<SyncState, string> = {
  stopped: "off",
  standby: "another tab syncs",
  offline: "offline",
  connecting: "connecting",
  "catching-up": "catching up",
  live: "live",
  "needs-auth": "sign in",
  failed: "trouble",
};
const accountChanged: boolean = status.reason === "account-changed";
// @ts-expect-error no reason is called so
const typo: boolean = status.reason === "acount-changed";

const offs: (() => void)[] = [
  client.on("status", (now) => same<SyncStatus, typeof now>(true)),
  client.on("applied", (event) => same<AppliedEvent, typeof event>(true)),
  client.on("rejected", (rows) => same<readonly KeptRow[], typeof rows>(true)),
  client.on("error", (error) => same<SyncError, typeof error>(true)),
];
same<keyof SyncEvents, "status" | "applied" | "rejected" | "error">(true);
// @ts-expect-error nothing is told by that name
client.on("change", () => {});
// @ts-expect-error a listener is needed
client.on("status");
// @ts-expect-error a listener of "status" is not told rows
client.on("status", (rows: readonly KeptRow[]) => rows.length);

client.on("applied", ({ from, source, tables }) => {
  const keys: readonly PrimaryKey[] | undefined = tables["tasks"];
  const who: string = from;
  const elsewhere: boolean = source === "tab";
  // @ts-expect-error changes come from a device or from a tab
  return [keys, who, elsewhere, source === "local"];
});

const levels: SyncLevel[] = ["sent", "stored"];
void client.waitForSynced({ level: "sent", signal });
void client.waitForSynced();
// @ts-expect-error there are two levels
void client.waitForSynced({ level: "seen" });
void client.waitForSynced(signal);
// @ts-expect-error the level is an option
void client.waitForSynced("sent");
const firstSync: Promise<void> = client.waitForFirstSync(signal);
const left: Promise<Left> = client.retry();
const report: Promise<Diagnostics> = client.exportDiagnostics();
void client.quarantine().then(([row]) => {
  const code: KeptRowCode | undefined = row?.code;
  // @ts-expect-error no row is kept for that
  return code === "unknown-tabel";
});

// -------------------------------------------------------------------------------------------- end of life

async function scope(): Promise<void> {
  await using transport = new WsTransport({ url: "wss://example.test", protocol: "relay" });
  await using scoped = new SyncClient({ db, transport });
  await using plain = new HttpTransport({ url: "https://example.test" });
  await scoped.start();
  void plain;
}
function notAtOnce(): void {
  // @ts-expect-error the end of a client has to be waited for
  using scoped = new SyncClient({ db, transport: relay });
}

// ------------------------------------------------------------------------------------------------- errors

const isOurs = (error: unknown): error is SyncError => error instanceof Error && "code" in error;
function told(error: SyncError): string {
  const code: ErrorCode = error.code;
  // @ts-expect-error no error has that code
  if (error.code === "offline") return "";
  // @ts-expect-error a code cannot be set
  error.code = "network";
  return `${code} ${error.retryable} ${error.status ?? ""} ${error.closeCode ?? ""} ${error.retryAfter ?? 0} ${error.message}`;
}
try {
  const answer: SyncPullResult = validatePullResult({}, { strict: true });
  validatePushResult(answer);
} catch (error) {
  if (error instanceof SyncResponseValidationError) same<"invalid-response", typeof error.code>(true);
}
// @ts-expect-error only the validators make it
new SyncResponseValidationError();

// ------------------------------------------------------------------------------------- what an app brings

const own: SyncTransport = {
  name: "mine",
  push: async (changes) => ({ accepted: changes.map(({ id }) => ({ id, serverTimestamp: "" })), conflicts: [], errors: [] }),
  pull: async () => ({ changes: [], cursor: null, hasMore: false }),
};
new SyncClient({ db, transport: own });
const frames: MessageTransport = relay as MessageTransport & WsTransport;
// @ts-expect-error a transport that cannot pull is none
const half: SyncTransport = { name: "half", push: own.push };

export { WORDS, accountChanged, done, firstSync, frames, half, isOurs, left, levels, notAtOnce, offs, pulled, report, scope, sent, told, typo };
