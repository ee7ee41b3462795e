/**
 * React hooks for what changes by itself: the state of synchronisation, and the rows of a query. They need React 18 or
 * later and no wasm; on a server they give what is known before the first answer.
 */

import type { SyncClient, SyncStatus } from "./index.js";
import type { LiveQueryOptions, LiveResult, QueryDatabase } from "./live.js";

/**
 * `client.status`, rendered again whenever it changes. While there is no client yet (null, undefined, and on the server)
 * it is "stopped" with nothing pending.
 */
export function useSyncStatus(client: Pick<SyncClient, "on" | "status"> | null | undefined): SyncStatus;

/**
 * The rows of a query, run again when the tables that it reads are written, here or by other devices. Another statement,
 * other values of `bind` or another database start over: rows of one query are never shown as those of another. While
 * there is no database yet it is loading; without a client only what this tab writes is noticed.
 */
export function useQuery<Row extends object = Record<string, any>>(
  db: QueryDatabase | null | undefined,
  client: Pick<SyncClient, "on"> | null | undefined,
  sql: string,
  bind?: readonly unknown[],
  options?: LiveQueryOptions,
): LiveResult<Row>;

export type { LiveQueryOptions, LiveResult, QueryDatabase } from "./live.js";
