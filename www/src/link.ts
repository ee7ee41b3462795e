// The link of one device, between `SyncClient` and our transport. Shows every message that passes, and can be made
// slow or silent. Changes no message and keeps their order: what it holds back comes later, or dies with its connection,
// as it would on the way. `SyncClient` takes anything of the shape of a transport, so a shim like this needs no permission.

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
  #lanes = new Set<Lane>();
  /** Calls that wait for a link that is not silent. */
  #held = new Set<() => void>();

  constructor(private readonly seen: (message: Seen) => void) {}

  get quality(): Quality {
    return this.#quality;
  }

  set quality(quality: Quality) {
    this.#quality = quality;
    for (const lane of this.#lanes) lane.run();
    for (const go of [...this.#held]) go();
  }

  /** Around a transport of the relay protocol. */
  frames(inner: WsTransport): MessageTransport {
    // A link that takes a message and then cannot carry it is broken.
    const up = this.#lane((frame) => inner.send(frame) || inner.drop());
    inner.onStateChange(({ state }) => {
      if (state !== "open") for (const lane of this.#lanes) lane.empty();
    });
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
        const straight = this.#quality === "good" && up.idle;
        if (straight && !inner.send(frame)) return false;
        this.seen({ direction: "sent", text: frame });
        if (!straight) up.put(frame);
        return true;
      },
      onMessage: (listener) => {
        const lane = this.#lane((frame) => {
          this.seen({ direction: "received", text: frame });
          listener(frame);
        });
        const deaf = inner.onMessage((frame) => lane.put(frame));
        return () => {
          deaf();
          lane.empty();
          this.#lanes.delete(lane);
        };
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

  #lane(deliver: (frame: string) => void): Lane {
    const lane = new Lane(() => this.#quality, deliver);
    this.#lanes.add(lane);
    return lane;
  }

  /** One way of a call. A silent link lets nothing pass until it is another one. */
  async #passage(signal: AbortSignal | undefined): Promise<void> {
    if (this.#quality === "slow") await new Promise((resolve) => setTimeout(resolve, SLOW_MS));
    while (this.#quality === "silent") {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => {
        const go = (): void => {
          this.#held.delete(go);
          signal?.removeEventListener("abort", go);
          resolve();
        };
        this.#held.add(go);
        signal?.addEventListener("abort", go);
      });
    }
    signal?.throwIfAborted();
  }
}

/** One direction of a connection: each message comes out when it is due, and never before an earlier one. */
class Lane {
  #waiting: { readonly frame: string; readonly due: number }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly quality: () => Quality,
    private readonly deliver: (frame: string) => void,
  ) {}

  get idle(): boolean {
    return this.#waiting.length === 0;
  }

  put(frame: string): void {
    this.#waiting.push({ frame, due: performance.now() + (this.quality() === "slow" ? SLOW_MS : 0) });
    this.run();
  }

  run(): void {
    clearTimeout(this.#timer);
    for (let next = this.#waiting[0]; next && this.quality() !== "silent"; next = this.#waiting[0]) {
      const wait = next.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.run(), wait);
        return;
      }
      this.#waiting.shift();
      this.deliver(next.frame);
    }
  }

  empty(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }
}
