/// <reference lib="esnext.disposable" />
/**
 * crsqlite-sync: keeps the cr-sqlite database of a web app in step with the user's other devices, offline first.
 * Durations are in milliseconds, sizes in bytes, moments in milliseconds since 1970, unless said otherwise.
 */

// ------------------------------------------------------------------------------------------------ loading

/** Where the wasm comes from: an address, a response, its bytes, or a compiled module. */
export type InitInput = string | URL | Request | Response | BufferSource | WasmModule;

/** A compiled module. (By itself `WebAssembly.Module` has no members, and lets everything pass.) */
export type WasmModule = WebAssembly.Module & object;

/** Loads the wasm once; every later call returns the same promise. Without `input` the file beside the package. */
export function init(input?: InitInput | Promise<InitInput>): Promise<void>;
/** Loads the wasm from bytes or a module that are already here. */
export function initSync(module: BufferSource | WasmModule): void;
export default init;

// ------------------------------------------------------------------------------------------------- errors

/** Every code that an error of this package can carry. docs/errors.md says what to do about each. */
export type ErrorCode =
  | "not-initialised"
  | "wasm-is-html"
  | "wasm-invalid"
  | "bad-option"
  | "stopped"
  | "aborted"
  | "not-storing"
  | "account-changed"
  | "cloned-database"
  | "not-leading"
  | "database-busy"
  | "database-failed"
  | "database-closed"
  | "storage-full"
  | "orphan-clock-table"
  | "malformed-message"
  | "unsupported-version"
  | "inbox-overflow"
  | "outbox-overflow"
  | "remote-reset"
  | "replicas-differed"
  | "peer-error"
  | "not-connected"
  | "disconnected"
  | "connect-failed"
  | "connect-timeout"
  | "request-timeout"
  | "invalid-response"
  | "server-error"
  | "http-status"
  | "rate-limited"
  | "network"
  | "needs-auth"
  | "gave-up"
  | "listener-threw";

/** What every error of this package looks like. Real `Error`s: `instanceof Error` holds. */
export interface SyncError extends Error {
  /** Stable; go by this and not by the message. */
  readonly code: ErrorCode;
  /** Trying again later may help. */
  readonly retryable: boolean;
  /** HTTP status, where there was one. */
  readonly status?: number;
  /** WebSocket close code, where there was one. */
  readonly closeCode?: number;
  /** Milliseconds that the server asked to wait. */
  readonly retryAfter?: number;
}

// --------------------------------------------------------------------------------------------- transports

/** A value, or a function that is asked for it each time. */
export type MaybeAsync<T> = T | (() => T | Promise<T>);

/** What a transport does at the moment. */
export type TransportState =
  /** Not connected yet. */
  | "idle"
  | "connecting"
  | "open"
  /** Until `retryAt`, for the next attempt. */
  | "waiting"
  /** The device says that it has no network. */
  | "offline"
  /** The server refuses our credentials: `reconnect()` when there are new ones. */
  | "needs-auth"
  /** No further attempt will be made: see the reason; `reconnect()` makes one. */
  | "failed"
  /** By `disconnect()`. */
  | "closed";

/** Why a transport is not open, where its state alone does not say. */
export type DisconnectReason =
  /** The server's verdict on our credentials: HTTP 401, close codes 4001 and 4401. */
  | "unauthenticated"
  /** The server says that we are wrong, and would say so again: close codes 1002, 1003, 1007, 1008, 44xx. */
  | "protocol-error" | "unsupported-data" | "invalid-payload" | "policy-violation" | "refused"
  /** A message was too big for the server (1009): smaller ones follow. */
  | "message-too-big"
  /** The server asks for patience: 1013, 4429, HTTP 503 and 429. */
  | "try-again-later" | "too-many-requests"
  /** The server closed the connection by itself. */
  | "server-closed" | "server-timeout" | "server-error"
  /** The connection broke, or could not be made in the first place. */
  | "connection-lost" | "connect-failed" | "connect-timeout"
  /** Nothing came from the server, though it had to speak. */
  | "heartbeat-timeout"
  /** HTTP: no answer came, or none in time. */
  | "network" | "request-timeout"
  /** The app, or `SyncClient`, found the peer to be of no use: `drop()`. */
  | "dropped"
  /** The device says that it has no network, or has just said so. */
  | "offline"
  /** The user has left the page, and it may be restored. */
  | "page-hidden"
  /** All attempts were in vain: `maxReconnectAttempts`. `connect()` starts over. */
  | "gave-up";

/** What a transport says of itself. */
export interface TransportStatus {
  readonly state: TransportState;
  /** Why it is not open, where the state alone does not say. */
  readonly reason?: DisconnectReason;
  /** Of the socket that was lost last (RFC 6455; 1006 without a close frame). */
  readonly closeCode?: number;
  /** The server's own words in its close frame. */
  readonly closeReason?: string;
  /** When the next attempt starts, in milliseconds since 1970. */
  readonly retryAt?: number;
  /** What was caught in the last attempt: what `url` or `headers` threw, or the browser where it takes no such address. */
  readonly cause?: unknown;
}

/**
 * Asked when the server refuses our credentials (HTTP 401, close codes 4001 and 4401): get new ones, so that `url` or
 * `headers` can give them. Asked once, however many requests wait for it; meanwhile the state of a `WsTransport` and of the
 * client is "connecting" for the reason "unauthenticated". When it is done, one more attempt is made. When that is refused
 * too, or this fails, the state stays "needs-auth" until `reconnect()`; also when the server takes new credentials and
 * refuses them a moment later, again and again.
 */
export type AuthRequired = () => void | Promise<unknown>;

/** Options of `WsTransport`, by what is spoken on the socket. */
export type WsTransportOptions = WsPushPullOptions | WsRelayOptions;

/** Options of `WsTransport` that speaks push-pull. */
export interface WsPushPullOptions extends WsSocketOptions {
  /** What is spoken on the socket. Default "push-pull". */
  protocol?: "push-pull";
  /** Sent as the auth frame after every open. */
  headers?: MaybeAsync<Record<string, string>>;
  /** Milliseconds that one `push` or `pull` may take. Default 30000. */
  requestTimeoutMs?: number;
}

/** Options of `WsTransport` that speaks the relay protocol. */
export interface WsRelayOptions extends WsSocketOptions {
  /** What is spoken on the socket. */
  protocol: "relay";
  /** There are none: a browser sends no headers with a WebSocket. The token goes into the cookie `auth_token`. */
  headers?: undefined;
}

/** Options of `WsTransport`, whatever it speaks. */
export interface WsSocketOptions {
  /**
   * `wss://example.com/api/v1/sync`, or, in browsers since 2024, relative to the page: `/api/v1/sync`; `https:` is read as `wss:`,
   * `http:` as `ws:`. A function is asked again at every attempt; what it throws is told as an "error" of the client, and tried again.
   */
  url: MaybeAsync<string>;
  /** Milliseconds before the second attempt, half as long again before each further one. Default 3000 (relay: 1000). */
  reconnectIntervalMs?: number;
  /** Attempts in a row, after which the state is "failed" with the reason "gave-up". 0 = for ever. Default 10 (relay: 0). */
  maxReconnectAttempts?: number;
  /** Milliseconds from an attempt to the open socket. Default 10000. */
  connectionTimeoutMs?: number;
  /**
   * After so many milliseconds without a byte the server is made to speak; four times as many in a hidden page. 0 = never.
   * Default 30000.
   */
  heartbeatMs?: number;
  /** Milliseconds that it has for that, also after sleep, a change of network or a frozen page. Above 0; default 10000. */
  heartbeatTimeoutMs?: number;
  /** Called when the server refuses our credentials. Default: the state becomes "needs-auth" at once. */
  onAuthRequired?: AuthRequired;
}

/** Options of `HttpTransport`. */
export interface HttpTransportOptions {
  /** The base, such as `https://example.com/sync`; a function is asked again at every request. Its own query is kept. */
  url: MaybeAsync<string>;
  /**
   * Sent with every request, the ping of `connect()` included, beside `Content-Type: application/json`, which they may
   * replace; a function is asked again at every request.
   */
  headers?: MaybeAsync<Record<string, string>>;
  /**
   * How `pull` asks. With "POST", the default, in a JSON body, and the cursor also in the query. With "GET" in the query:
   * `cursor`, `collections` once for each (`collections=a&collections=b`), `batchSize`.
   */
  pullMethod?: "POST" | "GET";
  /**
   * Milliseconds for each request, from the asking for headers to the end of the body; it does not run while
   * `onAuthRequired` does. What takes longer rejects with an error named "TimeoutError", code "request-timeout". Default: no limit.
   */
  timeoutMs?: number;
  /** What else `fetch` is given, such as `credentials`. Never overrides method, body, headers and signal. */
  fetchOptions?: RequestInit;
  /**
   * Below the base: asked by `connect()` with HEAD, and has to answer with a success. Default: the base, and any answer below
   * 500 will do.
   */
  pingEndpoint?: string;
  /** Called when the server refuses our credentials. Default: the state becomes "needs-auth" at once. */
  onAuthRequired?: AuthRequired;
}

/**
 * What `SyncClient` needs of a transport that carries the relay protocol. `WsTransport` with
 * `protocol: "relay"` is one; anything that moves text frames both ways can be another.
 */
export interface MessageTransport {
  /** For messages and diagnostics. */
  readonly name: string;
  /** The remote's address, if it never changes: `SyncClient` names the remote by it where no `remoteId` is given. */
  readonly url?: string | undefined;
  /** Tells it from a push-pull transport. */
  readonly protocol: "relay";
  readonly state: TransportState;
  /** The same, with its reason. */
  readonly status: TransportStatus;
  /** Opens, and keeps it open. Resolves at the first open. */
  connect(): Promise<void>;
  /** Closes, and stays closed until `connect()`. */
  disconnect(): Promise<void>;
  /** Ends whatever there is and connects again at once. */
  reconnect(): void;
  /** Hands one text frame to the open connection; false when there is none. */
  send(frame: string): boolean;
  /** Every text frame that arrives. */
  onMessage(listener: (frame: string) => void): () => void;
  /** Every change of the status. Returns what unsubscribes. */
  onStateChange(listener: (status: TransportStatus) => void): () => void;
  /** It asks the app for new credentials by itself. */
  readonly asksForAuth?: boolean;
  /** Told when the peer has proved itself, so that backoff can start over. */
  healthy?(): void;
  /** Ends this connection because the peer is of no use, and tries again with backoff. */
  drop?(): void;
  /**
   * Told when the transport doubts its connection (long silence, sleep, another network): the listener sends something
   * that makes the peer speak, and returns whether a healthy peer must answer it.
   */
  onProbe?(listener: () => boolean): () => void;
}

/**
 * What `SyncClient` needs of a transport that carries the push-pull contract: `push` and `pull`. `HttpTransport`,
 * `WsTransport` and any transport written for the contract are such.
 */
export interface SyncTransport {
  /** For messages and diagnostics. */
  readonly name: string;
  /** The remote's address, if it never changes: `SyncClient` names the remote by it where no `remoteId` is given. */
  readonly url?: string | undefined;
  /**
   * Hands changes to the server. Resolves when each of them is accepted, in conflict or refused; rejects when that is not
   * known: they are pushed again, with the same ids.
   */
  push(changes: SyncChangeRecord[], options?: PushOptions): Promise<SyncPushResult>;
  /** One page of what the server has after the cursor. */
  pull(options?: PullOptions): Promise<SyncPullResult>;
  /**
   * With `onStateChange` called by `start()`. Without it called before the first `push` or `pull`, and before later ones where
   * `isConnected` says no; they are made also when it rejects.
   */
  connect?(): Promise<void>;
  /** Called by `stop()`. */
  disconnect?(): Promise<void>;
  /** Without it, one `connect` that has resolved is enough. */
  isConnected?(): boolean;
  /** Changes that the server sends unasked. */
  onServerPush?(listener: (changes: SyncPullResult["changes"]) => void): () => void;
  /** Followed where there is `onStateChange`; without that, the calls show whether the server is there. */
  readonly status?: TransportStatus;
  /** Every change of the status. Returns what unsubscribes. */
  onStateChange?(listener: (status: TransportStatus) => void): () => void;
  /** Ends whatever there is and tries again at once, with new credentials where there are some. */
  reconnect?(): void;
  /** It asks the app for new credentials by itself. */
  readonly asksForAuth?: boolean;
}

// ----------------------------------------------------------------------------------------------- database

/**
 * The part of `@vlcn.io/crsqlite-wasm`'s `DB` that is used. Its `DB` satisfies this as it is.
 */
export interface Database {
  /** Its name; clients of one name are tabs of one database. */
  readonly filename: string;
  /** cr-sqlite's site id, in hex. */
  readonly siteid: string;
  /** Rows as arrays. */
  execA(sql: string, bind?: unknown[]): Promise<any[]>;
  /** Runs statements; without rows. */
  exec(sql: string, bind?: unknown[]): Promise<any>;
  /** Runs a body in a transaction, one after the other; commits when it resolves. */
  tx(body: (tx: any) => Promise<void>): Promise<void>;
  /** A prepared statement of the wrapper. */
  prepare(sql: string): Promise<any>;
  /** SQLite's update hook: every row that is written on this connection. Returns what unsubscribes. */
  onUpdate(listener: (type: number, database: string, table: string, rowid: bigint) => void): () => void;
  /** Lends the wrapper's mutex without a savepoint. Without it, `tx` is used. */
  imperativeTx?(): Promise<[release: () => void, tx: any]>;
  /**
   * wa-sqlite's low-level API and the handle it wants. Without them everything stays exact but is slower, and a
   * transaction that the app has opened by itself cannot be noticed.
   */
  readonly api?: any;
  /** See `api`. */
  readonly db?: number;
}

// ------------------------------------------------------------------------------------------------- client

/** Options of `SyncClient`. */
export interface SyncClientOptions {
  /** The open database. It stays yours: the client never closes it. */
  db: Database;
  /** Connected by `start()` and disconnected by `stop()`. One transport for each client. */
  transport: MessageTransport | SyncTransport;
  /**
   * Only these tables are sent and applied. Default: every replicated table. One that is not replicated is warned of, as is a
   * database without any: `SELECT crsql_as_crr('…')` makes a table replicated.
   */
  tables?: string[];
  /** The most changes in one message. Default 5000. */
  batchChanges?: number;
  /** About the most bytes in one message. Default 524288. */
  batchBytes?: number;
  /** Names the remote in the database's own bookkeeping. Default: origin and path of the transport's URL, or its name. */
  remoteId?: string;
  /** One leader per database and remote across tabs, by Web Locks. Default true where locks exist. */
  multiTab?: boolean;
  /**
   * Push-pull only: milliseconds after which the remote is asked for news again. 0 = only by `syncNow`, at a reconnect and
   * after a server push. Default 30000.
   */
  pullIntervalMs?: number;
  /** For a transport that does not ask by itself. One that does (`asksForAuth`) is left to it: nobody is asked twice. */
  onAuthRequired?: AuthRequired;
  /**
   * `console` is one. Told errors that nobody listens to and tables that are not replicated (without it the console is), and as
   * warnings of rows that go to the quarantine and of connections that are given up. Default: none.
   */
  logger?: { warn?(...args: unknown[]): void; error?(...args: unknown[]): void };
}

/** What the client does at the moment. */
export type SyncState =
  /** Not started, or stopped; also where another client has taken over, which the error "not-leading" has told. */
  | "stopped"
  /** Another tab of this database leads; this one takes over when that ends. */
  | "standby"
  /** The device says that it has no network, or the transport was told to disconnect. A server that is away is "connecting". */
  | "offline"
  /**
   * Trying, or waiting to try (`retryAt`): also for as long as the server cannot be reached, with the reason ("connect-failed",
   * "connect-timeout"), and while `onAuthRequired` runs ("unauthenticated"). The third failed attempt in a row is an "error".
   */
  | "connecting"
  /** Connected; what others wrote meanwhile is on its way. */
  | "catching-up"
  /** Connected and up to date: what is written on either side arrives as it is written. */
  | "live"
  /** Nothing goes on before the app has new credentials and calls `transport.reconnect()`. Told as an "error" too. */
  | "needs-auth"
  /** Waiting does not cure it: see the reason, and the "error" with the server's own words. */
  | "failed";

/** Why the state is what it is, where the state alone does not say. A transport of your own may say other words. */
export type SyncReason =
  /** On standby: the state of the tab that leads. */
  | SyncState
  /** What the transport says of itself. */
  | DisconnectReason
  /** Offline, and the transport does not say why; "needs-auth" and "failed" stand for themselves, too. */
  | "disconnected"
  /**
   * Failed: the relay says that it is spoken to as another user than before. Ends by itself when a new connection is the
   * database's own user's again. See `acceptAccount()`.
   */
  | "account-changed"
  /** Failed: what the database says. After the first two `syncNow()` goes on, after the last a new client. */
  | "storage-full" | "orphan-clock-table" | "database-closed";

/** What the app shows. A new object at every change. */
export interface SyncStatus {
  readonly state: SyncState;
  /** Why, where the state alone does not say. */
  readonly reason?: SyncReason;
  /**
   * Local changes that no relay has stored yet (plain relay: not sent yet). One change is one column of one row. At least 1
   * from the moment of a write in this tab until it is counted, also where it was to a table that is not replicated. A
   * write that only SQLite knows of (in a worker without a client, say) is found within five seconds.
   */
  readonly pendingChanges: number;
  /** When the oldest of them was first seen. Survives a reload; may be earlier while a backlog is being sent. */
  readonly oldestPendingAt?: number;
  /** When this database last knew that it was up to date. Survives a reload. */
  readonly lastSyncedAt?: number;
  /**
   * When what is held here was last proved equal to what the relay or another device holds, since this start. With a
   * relay that stores they are compared half a minute after everything has come to rest, at most every quarter of an hour;
   * over a plain relay every quarter of an hour.
   */
  readonly verifiedAt?: number;
  /** Rows that could not be applied here and wait for a schema that fits, or for `retry()`. */
  readonly quarantined: number;
  /** Rows of ours that the relay refused. */
  readonly rejected: number;
  /** When the next attempt starts, where one is waited for. */
  readonly retryAt?: number;
  /** From the last push to its acknowledgement. */
  readonly roundTripMs?: number;
  /** Of this connection. */
  readonly progress: {
    /** Changes that have come. */
    readonly received: number;
    /** Changes that the remote has answered for (plain relay: that were handed to it). */
    readonly sent: number;
    /** Versions of the remote's log that are still to come; only a relay that stores tells. */
    readonly remainingVersions?: number;
  };
}

/** The key columns of one row, in the order of its primary key. */
export type PrimaryKey = (string | number | bigint | Uint8Array | null)[];

/** What others have written here. */
export interface AppliedEvent {
  /** Site id (hex) of the device that sent them, or of the relay's log; our own for another tab. */
  readonly from: string;
  /** "remote": told in every tab. "tab": another tab of this database has written and committed. */
  readonly source: "remote" | "tab";
  /** Table → keys of its rows that changed. A tab names its replicated tables only: the list of keys is empty.
   * So it is for a message of more than 5000 keys: look at the whole table. */
  readonly tables: Readonly<Record<string, readonly PrimaryKey[]>>;
}

/** Why a row was kept aside (PROTOCOL.md, "Rows"). A code that is newer than this package is read as "refused". */
export type KeptRowCode =
  /** Another schema wrote it: it waits for one that fits. */
  | "unknown-table" | "unknown-column" | "key-mismatch"
  /** A constraint or a trigger said no, or the server did. */
  | "refused"
  /** Too large for the server, even alone. */
  | "too-large"
  /** The server has something else by this name. */
  | "conflict"
  /** The peer that wrote it is broken. */
  | "malformed-row" | "malformed-key" | "malformed-site-id" | "version-out-of-range" | "poison-sentinel";

/** What was kept aside: one column of one row. */
export interface KeptRow {
  /** Site id (hex) of who sent it, or who refused it. */
  readonly peer: string;
  /** Why it was kept aside. */
  readonly code: KeptRowCode;
  /**
   * As it travels (PROTOCOL.md, "Rows"): an object with `table`, `cid` (the column; "-1": that the row was deleted or made again),
   * `val`, `pk` (the packed key in base64) and the clocks. Of a peer that is broken it may be anything.
   */
  readonly row: unknown;
}

/** The events of `SyncClient.on`, and what their listeners are given. */
export interface SyncEvents {
  /** Something in the status has changed. */
  status: SyncStatus;
  /** Others have written; it is committed, and can be read. */
  applied: AppliedEvent;
  /** The server does not take these rows of ours. Told once for each. */
  rejected: readonly KeptRow[];
  /** For telling people and for logs: what can be tried again is tried again by itself. */
  error: SyncError;
}

/** How far a change has got: handed to the connection, or kept by the relay. */
export type SyncLevel = "sent" | "stored";

/** What `retry()` could not help. */
export interface Left {
  /** Rows that still do not fit here. */
  readonly quarantined: number;
  /** Rows that the other side still refuses. */
  readonly rejected: number;
}

/**
 * What a bug report needs, safe to be shown to anybody: no value, no key, no credential, no query of an address, and no
 * words of a server, a trigger or a transport. `JSON.stringify` takes all of it.
 */
export interface Diagnostics {
  /** When it was made. */
  readonly at: number;
  /** Of this package. */
  readonly version: string;
  /** What this tab is to the others. */
  readonly role: "stopped" | "starting" | "away" | "standby" | "leader";
  /** What the app was shown. */
  readonly status: SyncStatus;
  /** What the transport says of itself. Words that are not plain ones of ours are left out. */
  readonly transport: {
    readonly name?: string;
    readonly protocol?: string;
    readonly state?: string;
    readonly reason?: string;
    readonly closeCode?: number;
    readonly retryAt?: number;
  };
  /** The options in effect. */
  readonly options: {
    readonly remoteId: string;
    readonly tables?: readonly string[];
    readonly batchChanges: number;
    readonly batchBytes: number;
    readonly multiTab: boolean;
    readonly pullIntervalMs?: number;
    readonly onAuthRequired: boolean;
  };
  /**
   * What the database says: `sqlite` and `crsqlite` (versions), `schema-version`, `replicated` (names of tables),
   * `quarantine` and `rejected` (code → rows), and the state of replication by its names in the database: `runs`, `db.high`,
   * `received/…` (cursors), `log/…` (what was uploaded, and the ranges that are not). Or the code of the error with which it
   * refused, or "no-answer" where it took more than two seconds.
   */
  readonly database: Readonly<Record<string, unknown>> | ErrorCode | "no-answer";
  /** The last 50 messages, oldest first. */
  readonly frames: readonly {
    readonly at: number;
    readonly direction: "sent" | "received";
    readonly type: string;
    readonly bytes: number;
    /** Site id (hex) of the sender. */
    readonly from?: string;
    readonly baseVersion?: number;
    readonly currentVersion?: number;
    readonly head?: number;
    /** Table → rows of it; those that cannot be read under "". */
    readonly rows?: Readonly<Record<string, number>>;
  }[];
  /** The last 50 errors that were told, oldest first. */
  readonly errors: readonly {
    readonly at: number;
    readonly code?: string;
    /** Where the message is our own. */
    readonly message?: string;
    /** The length of a message that quotes somebody else, and is withheld. */
    readonly withheld?: number;
    readonly retryable?: boolean;
    /** Of its cause. */
    readonly status?: number;
    readonly closeCode?: number;
  }[];
}

/**
 * Keeps one cr-sqlite database in step with a remote, from `start()` to `stop()`. One client for each database and remote in
 * a tab; the tabs take turns by themselves.
 */
export class SyncClient {
  /** Looks at the options, and does nothing else. Throws "bad-option". */
  constructor(options: SyncClientOptions);
  /**
   * Takes the lead if no other tab has it, connects, and keeps the database in step until `stop`. Idempotent. Resolves as soon as
   * it is known who leads, without any connection; never rejects: what goes wrong is told by `status` and "error".
   */
  start(): Promise<void>;
  /** Lets go: the connection, the lock, the listeners on the database. Idempotent. Also by `await using client = …`. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** Asks for everything new and sends what is pending; resolves when both are done. */
  syncNow(signal?: AbortSignal): Promise<void>;
  /** The present state. Never throws. */
  readonly status: SyncStatus;
  /** Calls the listener at every such event. Returns the function that unsubscribes. What it throws is told as "listener-threw". */
  on<K extends keyof SyncEvents>(event: K, listener: (value: SyncEvents[K]) => void): () => void;
  /** Resolves when this database has caught up with this remote at least once in its life. Rejects like `waitForSynced`. */
  waitForFirstSync(signal?: AbortSignal): Promise<void>;
  /**
   * Resolves when all that is committed now was sent, or stored by the relay (the rows that it refused stand in
   * `rejected()`). Default level "stored". Waits while there is no connection; rejects when none will come by itself:
   * "gave-up" when the transport has stopped trying, "stopped", or what `status.reason` says when the state is "failed". A signal alone may be given as it is.
   */
  waitForSynced(options?: { level?: SyncLevel; signal?: AbortSignal } | AbortSignal): Promise<void>;
  /** Rows of others that could not be applied here, oldest first: at most 10,000. */
  quarantine(): Promise<readonly KeptRow[]>;
  /** Rows of ours that the other side does not take, oldest first: at most 10,000. */
  rejected(): Promise<readonly KeptRow[]>;
  /**
   * Tries the quarantine again now, and sends the rejected rows again that still say what the database says. By itself
   * that happens once when the schema changes; this is for what no schema tells: a trigger that looks at another table, a
   * server that was mended. Resolves when all were tried, with what is left; where rows have to be sent it waits for a
   * connection. Includes what `syncNow` does.
   */
  retry(signal?: AbortSignal): Promise<Left>;
  /**
   * Answers the reason "account-changed": this database was synced as one user, and the relay says that it is spoken to as
   * another. Nothing is sent or applied until then. Accepting merges: **everything in this database goes to the new user,
   * everything of the new user comes here**, and from now on the database is theirs. It connects anew and goes by what the
   * relay says then: the account that was refused is accepted; the database's own needs no accepting, and sync goes on;
   * yet another one stops the client again (rejects with "account-changed"). Without such a reason nothing happens.
   *
   * Not wanted? Open another database for that user, or sign in again as the one whose database this is: then any new
   * connection (`transport.reconnect()`, `syncNow()`, `start()`) lets sync go on.
   */
  acceptAccount(): Promise<void>;
  /** For a bug report. Works in every state and never rejects. */
  exportDiagnostics(): Promise<Diagnostics>;
  /** Forgets what was exchanged with this remote and does it all again. For a server that has lost data without a sign. */
  resync(): Promise<void>;
}

// --------------------------------------------------------------------------------------------- transports

/** A WebSocket that reconnects by itself, speaking push-pull or the relay protocol. */
export class WsTransport {
  /** Looks at the options, and opens nothing. Throws "bad-option". */
  constructor(options: WsTransportOptions);
  /** For messages and diagnostics. */
  readonly name: "websocket";
  /** What it speaks. */
  readonly protocol: "push-pull" | "relay";
  /** The address; undefined where it is asked for at every attempt. */
  readonly url: string | undefined;
  /** `onAuthRequired` was given. */
  readonly asksForAuth: boolean;
  readonly state: TransportState;
  /** The same, with its reason. A new object at every change. */
  readonly status: TransportStatus;
  /** Opens, and keeps it open. Resolves when it is open; rejects when this attempt fails, and tries again by itself. */
  connect(): Promise<void>;
  /** Closes, and stays closed. What waits rejects with "disconnected". Also by `await using transport = …`. */
  disconnect(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** Ends whatever there is and connects again at once; the way out of "needs-auth" and "failed". */
  reconnect(): void;
  /** Ends this connection because the peer is of no use, and tries again with backoff. */
  drop(): void;
  /** Whether the socket is open. */
  isConnected(): boolean;
  /** Every change of the status. Returns what unsubscribes. */
  onStateChange(listener: (status: TransportStatus) => void): () => void;
  /** relay protocol */
  send(frame: string): boolean;
  /** relay protocol */
  onMessage(listener: (frame: string) => void): () => void;
  /** relay protocol */
  healthy(): void;
  /** relay protocol */
  onProbe(listener: () => boolean): () => void;
  /** push-pull protocol */
  push(changes: SyncChangeRecord[], options?: PushOptions): Promise<SyncPushResult>;
  /** push-pull protocol */
  pull(options?: PullOptions): Promise<SyncPullResult>;
  /** push-pull protocol: changes that the server sends unasked */
  onServerPush(listener: (changes: SyncPullResult["changes"]) => void): () => void;
}

/**
 * Push-pull over `fetch`. Keeps no connection: its state is what the last request showed, and it never asks by itself.
 * An aborted request rejects with its signal's reason. `fetch` is given the caller's very signal, or that of
 * `AbortSignal.timeout`, where it is the only one.
 */
export class HttpTransport {
  /** Looks at the options, and opens nothing. Throws "bad-option". */
  constructor(options: HttpTransportOptions);
  /** For messages and diagnostics. */
  readonly name: "http";
  /** What it speaks. */
  readonly protocol: "push-pull";
  /** The base; undefined where it is asked for at every request. */
  readonly url: string | undefined;
  /** `onAuthRequired` was given. */
  readonly asksForAuth: boolean;
  readonly state: TransportState;
  /** The same, with its reason. A new object at every change. */
  readonly status: TransportStatus;
  /** Asks whether the server can be reached. */
  connect(): Promise<void>;
  /**
   * What is in flight rejects with "disconnected", and is aborted unless `fetch` has only a signal that is not ours. Also by
   * `await using transport = …`.
   */
  disconnect(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** Leaves "needs-auth" and asks again whether the server can be reached. */
  reconnect(): void;
  /** Whether the server answered the last time, with anything below 500; a 429 or a 401 is an answer. */
  isConnected(): boolean;
  /** Every change of the status. Returns what unsubscribes. */
  onStateChange(listener: (status: TransportStatus) => void): () => void;
  /** `POST {url}/push`. Rejects with the server's words, its status, and in `retryAfter` what it asks to wait. */
  push(changes: SyncChangeRecord[], options?: PushOptions): Promise<SyncPushResult>;
  /** `POST` or `GET {url}/pull`: one page. Rejects like `push`. */
  pull(options?: PullOptions): Promise<SyncPullResult>;
  /** There is nothing to hear over HTTP; here so that both transports look alike. */
  onServerPush(listener: (changes: SyncPullResult["changes"]) => void): () => void;
}

// ------------------------------------------------------------------------------- the push-pull contract
// Skip this unless you use ctrodb, or write a server or a transport of your own.

/** What a record is called in its collection. */
export type ID = string | number;

/** Options of the validators. */
export interface ValidationOptions {
  /** Also refuse what the types below forbid and the contract's validators always let pass. Default false. */
  strict?: boolean;
}

/** Returns the very value that it was given, or throws {@link SyncResponseValidationError}. */
export function validatePushResult(value: unknown, options?: ValidationOptions): SyncPushResult;
/** Returns the very value that it was given, or throws {@link SyncResponseValidationError}. */
export function validatePullResult(value: unknown, options?: ValidationOptions): SyncPullResult;

/** A server's answer that breaks the contract. Only the validators make it. */
export class SyncResponseValidationError extends Error implements SyncError {
  private constructor();
  readonly code: "invalid-response";
  readonly retryable: false;
  /** Where the first failure is, such as `changes[3].id`; empty for the value itself. */
  readonly path: string;
  /** All that was found, the first one first. */
  readonly issues: readonly { readonly path: string; readonly message: string }[];
}

/** One change, as it is pushed. Moments are ISO 8601 texts. What `SyncClient` makes of a row: PROTOCOL.md, section 10. */
export interface SyncChangeRecord {
  /** Of this change: the answer names it, and a second push of the same change has the same. */
  id: string;
  /** The table, or whatever else the records are kept in. */
  collection: string;
  recordId: ID;
  type: "create" | "update" | "delete";
  /** What the record says now; null where it is deleted. */
  data: Record<string, unknown> | null;
  /** What it said before, where the engine knows. */
  prevData: Record<string, unknown> | null;
  /** When it was made, by the device's clock. */
  timestamp: string;
  /** The engine's own bookkeeping, like the four below; a server need not look at it. */
  status: "pending" | "syncing" | "committed" | "failed";
  /** How often it was tried again. */
  retries: number;
  /** What came of it the last time. */
  errorMessage: string | null;
  /** When the engine noted it. */
  createdAt: string;
  /** When the engine noted something of it last. */
  updatedAt: string;
}

/** A change that the server did not take, because it has another for the same record. */
export interface SyncConflict {
  /** The `id` of the change. */
  changeId: string;
  recordId: ID;
  collection: string;
  /** What was pushed. */
  local: Record<string, unknown> | null;
  /** What the server has. */
  remote: Record<string, unknown> | null;
  localTimestamp: string;
  remoteTimestamp: string;
  /** Names of the fields that differ. */
  fieldConflicts: string[];
}

/** The answer to a push. Names each change of it once, in one of the three lists. */
export interface SyncPushResult {
  /** Kept. */
  accepted: { id: string; serverTimestamp: string }[];
  /** Not kept: the server has something else. */
  conflicts: SyncConflict[];
  /** Refused, in the server's words. "not-mentioned": the transport's own word for a change that the server's answer left out. */
  errors: { id: string; error: string; code?: "not-mentioned" }[];
}

/** The answer to a pull: one page. */
export interface SyncPullResult {
  /** In the server's order. */
  changes: {
    id: string;
    collection: string;
    recordId: ID;
    type: "create" | "update" | "delete";
    data: Record<string, unknown> | null;
    timestamp: string;
  }[];
  /** Where the next pull begins; null: where this one began. */
  cursor: string | null;
  /** There is another page. */
  hasMore: boolean;
  /**
   * An addition of `crsqlite-relay`: it has lost some of what it had shown up to the cursor that it was asked with, so that
   * `SyncClient` compares everything and sends what is missing there. Other servers leave it out.
   */
  reset?: boolean;
}

/** Options of one push. */
export interface PushOptions {
  /** For transports that cut a push into pieces; ours send all of it at once. */
  batchSize?: number;
  /** Gives the request up: it rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Options of one pull. */
export interface PullOptions {
  /** Where the last pull ended; null or left out for the beginning. */
  cursor?: string | null;
  /** Only these; left out or empty for all. */
  collections?: string[];
  /** The most changes that the server shall answer with. */
  batchSize?: number;
  /** Gives the request up: it rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds, where that is less than the transport's own limit. */
  timeout?: number;
}
