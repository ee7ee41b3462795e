// Bytes on the wire, counted on the TCP sockets between pages and a relay that compresses, beside one that does not: devices
// of typical tables upload, catch up, and hear one live change. And what compressing costs a catch-up where the network costs
// nothing.

import { Proxy } from "../proxy.mjs";
import { alternate } from "../rounds.mjs";

export const title = "bytes on the wire";

export const keys = {
  wire_bytes_vs_plain: { what: "catching up on 10,000 changes of a to-do list: bytes of TCP, beside a relay that does not compress", unit: "×", budget: { most: 0.35 }, quick: { most: 0.35 } },
  wire_bytes_vs_plain_upload: { what: "– the same changes on their way to the relay", unit: "×", quick: { most: 0.35 } },
  wire_bytes_vs_plain_wide: { what: "– a table of 20 columns, text and numbers", unit: "×" },
  wire_bytes_vs_plain_text: { what: "– texts of 10 KB", unit: "×" },
  wire_bytes_vs_plain_blob: { what: "– random blobs of 2 KB, which only lose their base64", unit: "×" },
  wire_bytes_per_change: { what: "– each change of the to-do list, compressed", unit: "bytes" },
  wire_live_bytes: { what: "one live row of four columns on its way to another device", unit: "bytes" },
  wire_time_vs_plain: { what: "catching up on the 10,000 changes over the loopback: time, beside the relay that does not compress", unit: "×" },
};

/** Rows of each table; the to-do list has four columns beside its key. */
const ROWS = { todo: 2_500, wide: 500, text: 200, blob: 500 };
const ROUNDS = 5;

export async function measure(host) {
  const limits = ["--rate-messages=0", "--rate-bytes=0"];
  const deflating = await Side.open(host, limits);
  const plain = await Side.open(host, [...limits, "--no-compression"]);
  const details = {};
  for (const table of host.quick ? ["todo"] : Object.keys(ROWS)) {
    const [ours, theirs] = [await deflating.exchange(table), await plain.exchange(table)];
    if (ours.held !== theirs.held) throw new Error(`${table}: what was compressed is ${ours.held}, and else ${theirs.held}`);
    details[table] = { deflating: ours, plain: theirs };
  }
  // Pages take seconds to open, and the quick run has none to spare.
  const times = host.quick ? undefined : await alternate({ deflating: () => deflating.catchUp("todo"), plain: () => plain.catchUp("todo") }, ROUNDS);

  const all = ({ up, down }) => up + down;
  const ratio = (table, way) => details[table] && all(details[table].deflating[way]) / all(details[table].plain[way]);
  const { todo } = details;
  return {
    values: {
      wire_bytes_vs_plain: ratio("todo", "caughtUp"),
      wire_bytes_vs_plain_upload: ratio("todo", "uploaded"),
      wire_bytes_vs_plain_wide: ratio("wide", "caughtUp"),
      wire_bytes_vs_plain_text: ratio("text", "caughtUp"),
      wire_bytes_vs_plain_blob: ratio("blob", "caughtUp"),
      wire_bytes_per_change: all(todo.deflating.caughtUp) / todo.deflating.changes,
      wire_live_bytes: todo.deflating.live.down,
      wire_time_vs_plain: times?.deflating.map((ms, round) => ms / times.plain[round]),
    },
    details: { ...details, times },
  };
}

/** A relay, and devices of it, each behind a proxy that counts. */
class Side {
  #host;
  #relay;

  static async open(host, args) {
    const side = new Side();
    side.#host = host;
    side.#relay = await host.relay({ args });
    return side;
  }

  /** A device that has all that the relay has. */
  async #device(table) {
    const proxy = await Proxy.before(this.#relay);
    const context = await this.#host.profile();
    await this.#relay.signIn(context, table);
    const page = await this.#host.page({ context });
    const call = (name, argument) => this.#host.call(page, "wire.mjs", name, argument);
    const took = await call("open", { table, url: proxy.socket });
    const stop = async () => {
      await call("stop");
      await Promise.all([context.close(), proxy.close()]);
    };
    return { call, took, bytes: () => proxy.taken(), stop };
  }

  /** One device uploads, another one catches up, and hears of one more row: bytes of each, and what both hold in the end. */
  async exchange(table) {
    const rows = ROWS[table];
    const writer = await this.#device(table);
    writer.bytes();
    const changes = await writer.call("write", { table, rows, from: 0 });
    const uploaded = writer.bytes();
    const reader = await this.#device(table);
    const caughtUp = reader.bytes();
    await writer.call("write", { table, rows: 1, from: rows });
    const held = await reader.call("held", { rows: rows + 1 });
    const live = reader.bytes();
    const pushed = writer.bytes();
    if (held !== (await writer.call("held", { rows: rows + 1 }))) throw new Error(`${table}: two devices of one user differ`);
    await Promise.all([writer.stop(), reader.stop()]);
    return { changes, uploaded, caughtUp, live, pushed, held };
  }

  /** Milliseconds until a new device has everything. */
  async catchUp(table) {
    const device = await this.#device(table);
    await device.call("held", { rows: ROWS[table] + 1 });
    await device.stop();
    return device.took;
  }
}
