// Puts frames and rows into words for the log. Reads the public protocol (PROTOCOL.md) and never fails: what it does
// not know it calls by its type. Called by device.

export interface RowLine {
  /** First characters of the key, enough to tell rows apart. */
  readonly key: string;
  readonly column: string;
  readonly value: string;
}

export interface FrameLine {
  readonly what: string;
  readonly rows: readonly RowLine[];
}

const WORDS: Record<string, string> = {
  sync_request: "asks for news",
  sync_response: "answer",
  sync_push: "push",
  sync_ack: "acknowledged",
  sync_error: "error",
};

interface WireChange {
  pk?: string;
  cid?: string;
  val?: unknown;
  cl?: number;
}

export function describeFrame(frame: string): FrameLine {
  const message = parse(frame);
  const type = typeof message?.["type"] === "string" ? message["type"] : "unreadable frame";
  const payload = (message?.["payload"] ?? {}) as { changes?: WireChange[]; durable?: boolean; code?: string };
  const changes = Array.isArray(payload.changes) ? payload.changes : [];
  let what = WORDS[type] ?? type;
  if (type === "sync_response" && changes.length === 0) what = "nothing new";
  if (type === "sync_push" && changes.length === 0) what = "heartbeat";
  if (type === "sync_ack" && payload.durable) what = "stored by the relay";
  if (type === "sync_error" && payload.code) what = `error: ${payload.code}`;
  return { what, rows: changes.map((change) => describeRow(change.pk ?? "", change.cid ?? "", change.val, change.cl)) };
}

/** A row as `crsql_changes` has it (packed key) or as it travels (the same key in base64). */
export function describeRow(pk: Uint8Array | string, cid: string, value: unknown, cl = 1): RowLine {
  const key = textKey(typeof pk === "string" ? fromBase64(pk) : pk).slice(0, 4);
  if (cid === "-1") return { key, column: "row", value: cl % 2 === 0 ? "deleted" : "created" };
  return { key, column: cid, value: describeValue(value) };
}

/** The text in a packed key of one TEXT column: count, type and width, length, bytes. */
export function textKey(packed: Uint8Array): string {
  const [columns, head] = packed;
  if (columns !== 1 || head === undefined || (head & 7) !== 3) return "?";
  return new TextDecoder().decode(packed.subarray(2 + (head >> 3)));
}

function describeValue(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  if (typeof value === "string") return `“${value}”`;
  if (typeof value === "object") return String(Object.values(value)[0]);
  return String(value);
}

function parse(frame: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(frame) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
