// Live latency: from the commit of one device to the commit of another through the relay, two pages of one browser. Beside a
// bare message between the same pages, and beside the least that two databases can do, in turn. Then with three devices that
// write all the time.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { median } from "../rounds.mjs";

export const title = "live latency";

export const keys = {
  live_p50_over_echo_ms: { what: "commit on one device → committed on another, above a bare message, IndexedDB", unit: "ms", budget: { most: 10 } },
  live_p99_ms: { what: "the same as it is, p99", unit: "ms", budget: { most: 30 } },
  live_vs_floor: { what: "the same, times the least there is: one small transaction on each side, and a message that is synced to disk", unit: "×", quick: { most: 3.5 } },
  live_in_memory_p50_over_echo_ms: { what: "the same above a bare message, databases in memory", unit: "ms", budget: { most: 10 } },
  live_busy_p50_ms: { what: "three devices, 20 writes a second: commit → committed on each other one", unit: "ms" },
  live_busy_p99_ms: { what: "the same, p99", unit: "ms", budget: { most: 30 } },
};

const ROUNDS = { quick: 3, full: 5, inMemory: 2 };
const SAMPLES = { quick: 10, full: 40 };
/** Writes of all devices a second, and for how long. */
const [PACE, SECONDS] = [20, 10];

export async function measure(host) {
  const echo = await echoes();
  try {
    const stored = await pair(host, echo.url, "device", host.quick ? ROUNDS.quick : ROUNDS.full);
    const { over, all } = compared(stored);
    const values = { live_p50_over_echo_ms: over, live_p99_ms: quantile(all.live, 0.99), live_vs_floor: stored.map(({ live, floor }) => median(live) / median(floor)) };
    const details = { stored: summary(all) };
    if (host.quick) return { values, details };
    const inMemory = compared(await pair(host, echo.url, undefined, ROUNDS.inMemory));
    const busy = await three(host, echo.url);
    return {
      values: { ...values, live_in_memory_p50_over_echo_ms: inMemory.over, live_busy_p50_ms: median(busy), live_busy_p99_ms: quantile(busy, 0.99) },
      details: { ...details, inMemory: summary(inMemory.all), busy: summary({ busy }) },
    };
  } finally {
    await echo.close();
  }
}

/** Rounds of samples between two new devices. */
async function pair(host, echo, name, count) {
  const [lead, other] = await devices(host, 2, { echo, name });
  const samples = host.quick ? SAMPLES.quick : SAMPLES.full;
  await host.call(other, "live.mjs", "answer");
  const rounds = [];
  // The first round is none: everything is young in it.
  for (let round = 0; round <= count; round += 1) {
    rounds.push(await host.call(lead, "live.mjs", "lead", { samples, from: 1 + round * samples }));
  }
  await equal(host, [lead, other], rounds.length * samples);
  await Promise.all([lead, other].map((page) => page.close()));
  return rounds.slice(1);
}

/** Every delivery of three devices that write. */
async function three(host, echo) {
  const pages = await devices(host, 3, { echo, name: "busy" });
  const [first, ...others] = pages;
  // The clocks of the others against the first one's, one after the other: all three are on the same bare line.
  const ahead = [0];
  for (const page of others) {
    await host.call(page, "live.mjs", "answer");
    const { ahead: by } = await host.call(first, "live.mjs", "lead", { samples: 5, from: 1 + ahead.length * 5 });
    ahead.push(by);
    await host.call(page, "live.mjs", "silence");
  }
  const [count, every] = [Math.round((PACE * SECONDS) / pages.length), (1000 * pages.length) / PACE];
  const writing = pages.map((page, n) => host.call(page, "live.mjs", "writeSteadily", { first: (n + 1) * 10_000, count, every, after: 500 + (n * every) / pages.length }));
  const committed = await Promise.all(writing);
  const latencies = [];
  for (const [reader, page] of pages.entries()) {
    for (const [writer, writes] of committed.entries()) {
      if (reader === writer) continue;
      const arrived = new Map(await host.call(page, "live.mjs", "arrivals", { ids: writes.map(([id]) => id) }));
      latencies.push(...writes.map(([id, at]) => arrived.get(id) - ahead[reader] - (at - ahead[writer])));
    }
  }
  await equal(host, pages, 10 + pages.length * count);
  return latencies;
}

async function devices(host, count, { echo, name }) {
  const relay = await host.relay();
  const pages = [];
  for (let n = 0; n < count; n += 1) {
    const context = await host.profile();
    await relay.signIn(context, "live");
    const page = await host.page({ context });
    await host.call(page, "live.mjs", "open", { url: relay.socket, name, echo });
    pages.push(page);
  }
  return pages;
}

/** What was measured was right: all devices hold the same rows, so many of them, and nobody has complained. */
async function equal(host, pages, rows) {
  const held = await Promise.all(pages.map((page) => host.call(page, "live.mjs", "held")));
  const errors = (await Promise.all(pages.map((page) => host.call(page, "live.mjs", "errors")))).flat();
  if (!held[0].startsWith(`${rows} rows`) || new Set(held).size > 1 || errors.length > 0) throw new Error(`devices hold ${held.join(" and ")}: ${errors.join(", ")}`);
}

function compared(rounds) {
  const all = Object.fromEntries(["echo", "live", "floor"].map((kind) => [kind, rounds.flatMap((round) => round[kind])]));
  return { all, over: rounds.map(({ echo, live }) => median(live) - median(echo)) };
}

function quantile(samples, part) {
  return samples.toSorted((one, other) => one - other)[Math.min(samples.length - 1, Math.floor(samples.length * part))];
}

const summary = (kinds) => Object.fromEntries(Object.entries(kinds).map(([kind, ms]) => [kind, Object.fromEntries([0.5, 0.9, 0.99].map((part) => [`p${part * 100}`, quantile(ms, part)]))]));

/** A server that hands each message on, as a process of its own as the relay is. */
async function echoes() {
  const child = spawn(process.execPath, [fileURLToPath(new URL("../echo.mjs", import.meta.url))], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = await once(createInterface({ input: child.stdout }), "line");
  const close = async () => {
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  return { url: /ws:\S+/.exec(said)[0], close };
}
