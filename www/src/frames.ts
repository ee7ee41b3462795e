// Puts messages into words for the inspector. Reads both protocols (PROTOCOL.md) and never fails: what it does not know
// it calls by its type. Called by the inspector.

import type { Seen } from "./link";

export interface Message {
  readonly at: number;
  readonly direction: Seen["direction"];
  /** As the protocol calls it. */
  readonly type: string;
  readonly words: string;
  /** Rows of the database that it carries. */
  readonly rows: number;
  readonly bytes: number;
  /** Decoded; of many rows the first ones. */
  readonly content: unknown;
}

const WORDS: Record<string, string> = {
  sync_request: "asks for news",
  sync_response: "answer",
  sync_push: "changes",
  sync_ack: "received",
  sync_error: "error",
};

/** A message of a bulk carries thousands of rows: nobody reads them, and they would be kept. */
const MOST_ROWS = 20;

export function describe({ direction, text }: Seen): Message {
  const message = parse(text);
  const type = typeof message["type"] === "string" ? message["type"] : "unreadable";
  const payload = (typeof message["payload"] === "object" && message["payload"]) || {};
  const { changes, durable, code } = payload as { changes?: unknown; durable?: boolean; code?: string };
  const rows = Array.isArray(changes) ? changes : [];
  return {
    at: Date.now(),
    direction,
    type,
    words: inWords(type, rows.length, durable, code),
    rows: rows.length,
    bytes: new TextEncoder().encode(text).length,
    content: rows.length > MOST_ROWS ? shortened(message, rows) : message,
  };
}

function inWords(type: string, rows: number, durable?: boolean, code?: string): string {
  if (type === "sync_response" && rows === 0) return "nothing new";
  if (type === "sync_push" && rows === 0) return "heartbeat";
  if (type === "sync_ack" && durable) return "stored by the relay";
  if (type === "sync_error" && code) return `error: ${code}`;
  return WORDS[type] ?? type;
}

function shortened(message: Record<string, unknown>, rows: unknown[]): unknown {
  const changes = [...rows.slice(0, MOST_ROWS), `and ${(rows.length - MOST_ROWS).toLocaleString("en")} more`];
  return { ...message, payload: { ...(message["payload"] as object), changes } };
}

function parse(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return { text };
  }
}

/** A value of a row, of any SQLite type, for people. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  if (value instanceof Uint8Array) return hex(value);
  return String(value);
}

function hex(value: Uint8Array): string {
  const digits = Array.from(value.subarray(0, 24), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return value.length > 24 ? `${digits}…` : digits;
}

/** The text in a packed key of one TEXT column: count, type and width, length, bytes. Other keys in hex. */
export function textKey(packed: Uint8Array): string {
  const [columns, head] = packed;
  if (columns !== 1 || head === undefined || (head & 7) !== 3) return hex(packed);
  return new TextDecoder().decode(packed.subarray(2 + (head >> 3)));
}
