// Listens in on a transport. `SyncClient` takes anything that has the shape of a MessageTransport, so that a dozen lines
// around ours are enough to see every frame. Changes nothing that goes through; called by device.

import type { MessageTransport } from "crsqlite-sync";

export type Direction = "sent" | "received";

export function tap(inner: MessageTransport, seen: (direction: Direction, frame: string) => void): MessageTransport {
  return {
    name: inner.name,
    protocol: inner.protocol,
    get state() {
      return inner.state;
    },
    get status() {
      return inner.status;
    },
    connect: () => inner.connect(),
    disconnect: () => inner.disconnect(),
    reconnect: () => inner.reconnect(),
    send(frame) {
      const sent = inner.send(frame);
      if (sent) seen("sent", frame);
      return sent;
    },
    onMessage: (listener) =>
      inner.onMessage((frame) => {
        seen("received", frame);
        listener(frame);
      }),
    onStateChange: (listener) => inner.onStateChange(listener),
    healthy: () => inner.healthy?.(),
    drop: () => inner.drop?.(),
    onProbe: (listener) => inner.onProbe?.(listener) ?? (() => undefined),
  };
}
