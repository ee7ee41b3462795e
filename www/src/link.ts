// The link of one device, between `SyncClient` and our transport. Shows every message that passes, and can be made
// slow or silent. Changes no message and keeps their order; what it holds back dies with its connection, as it would on
// the way. `SyncClient` takes anything of the shape of a transport, so a shim like this needs no permission.

import type { MessageTransport, SyncTransport, WsTransport } from "crsqlite-sync";

export type Quality = "good" | "slow" | "silent";

/** What "slow" adds in each direction. */
export const SLOW_MS = 750;

export interface Seen {
  readonly direction: "sent" | "received";
  /** As it travels: a frame of the relay protocol, or what is said in one call of push-pull. */
  readonly text: string;
}

export class Link {
  #quality: Quality = "good";
  #better = new Set<() => void>();

  constructor(private readonly seen: (message: Seen) => void) {}

  get quality(): Quality {
    return this.#quality;
  }

  set quality(quality: Quality) {
    this.#quality = quality;
    for (const tell of [...this.#better]) tell();
  }

  /** Around a transport of the relay protocol. */
  frames(inner: WsTransport): MessageTransport {
    // A link that takes a message and then cannot carry it is broken.
    const up = this.#lane((frame) => inner.send(frame) || inner.drop());
    return {
      name: inner.name,
      protocol: "relay",
      get state() {
        return inner.state;
      },
      get status() {
        return inner.status;
      },
      connect: () => inner.connect(),
      disconnect: () => inner.disconnect(),
      reconnect: () => inner.reconnect(),
      send: (frame) => {
        if (inner.state !== "open") return false;
        const taken = up.idle() && this.#quality === "good" ? inner.send(frame) : up.put(frame);
        if (taken) this.seen({ direction: "sent", text: frame });
        return taken;
      },
      onMessage: (listener) => {
        const down = this.#lane((frame) => {
          this.seen({ direction: "received", text: frame });
          listener(frame);
        });
        const deaf = inner.onMessage((frame) => void down.put(frame));
        const gone = inner.onStateChange(({ state }) => state !== "open" && (up.empty(), down.empty()));
        return () => (deaf(), gone());
      },
      onStateChange: (listener) => inner.onStateChange(listener),
      healthy: () => inner.healthy(),
      drop: () => inner.drop(),
      onProbe: (listener) => inner.onProbe(listener),
    };
  }

  /** Around a transport of push-pull. */
  calls(inner: WsTransport): SyncTransport {
    const call = async <T>(name: string, argument: unknown, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> => {
      this.#show("sent", name, argument);
      await this.#passage(signal);
      const answer = await body();
      await this.#passage(signal);
      this.#show("received", `${name} result`, answer);
      return answer;
    };
    return {
      name: inner.name,
      get status() {
        return inner.status;
      },
      push: (changes, options) => call("push", { changes }, options?.signal, () => inner.push(changes, options)),
      pull: (options = {}) => {
        const { signal, ...asked } = options;
        return call("pull", asked, signal, () => inner.pull(options));
      },
      onServerPush: (listener) =>
        inner.onServerPush((changes) => {
          void this.#passage(undefined).then(() => {
            this.#show("received", "server push", { changes });
            listener(changes);
          });
        }),
      connect: () => inner.connect(),
      disconnect: () => inner.disconnect(),
      reconnect: () => inner.reconnect(),
      isConnected: () => inner.isConnected(),
      onStateChange: (listener) => inner.onStateChange(listener),
    };
  }

  #show(direction: Seen["direction"], type: string, payload: unknown): void {
    this.seen({ direction, text: JSON.stringify({ type, payload }) });
  }

  /** One direction of a connection: each message comes out after its delay and never before an earlier one. */
  #lane(deliver: (frame: string) => void): { put(frame: string): true; idle(): boolean; empty(): void } {
    const waiting = new Set<ReturnType<typeof setTimeout>>();
    let last = 0;
    return {
      put: (frame) => {
        if (this.#quality === "silent") return true;
        const now = performance.now();
        last = Math.max(last, now + (this.#quality === "slow" ? SLOW_MS : 0));
        if (last <= now && waiting.size === 0) deliver(frame);
        else {
          const timer = setTimeout(() => (waiting.delete(timer), deliver(frame)), last - now);
          waiting.add(timer);
        }
        return true;
      },
      idle: () => waiting.size === 0,
      empty: () => {
        for (const timer of waiting) clearTimeout(timer);
        waiting.clear();
      },
    };
  }

  /** One way of a call. A silent link lets nothing pass until it is another one. */
  async #passage(signal: AbortSignal | undefined): Promise<void> {
    if (this.#quality === "slow") await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    while (this.#quality === "silent") {
      await new Promise<void>((resolve) => {
        const tell = (): void => (this.#better.delete(tell), signal?.removeEventListener("abort", tell), resolve());
        this.#better.add(tell);
        signal?.addEventListener("abort", tell);
      });
      signal?.throwIfAborted();
    }
  }
}
