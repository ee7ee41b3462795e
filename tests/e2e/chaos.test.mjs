// A while of everything at once, in real browsers: four tabs of three devices write to the same few rows, are switched
// off and on, reloaded, and lose their relay. Afterwards all of them, and a device that was never there, are equal.
// CHAOS_SEED replays the choices (not the timing) of a run; CHAOS_SECONDS makes it longer.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freshUser, Stage, until } from "./harness.mjs";

const SECONDS = Number(process.env.CHAOS_SECONDS ?? 20);
const SEED = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000);
const KEYS = 25;

let stage;
before(async () => {
  stage = await Stage.open();
});
after(() => stage?.close());

test("after a while of everything at once, all devices are equal", async (t) => {
  t.diagnostic(`CHAOS_SEED=${SEED}`);
  const dice = generator(SEED);
  const user = freshUser();
  const both = await stage.visit({ user });
  const third = await stage.visit({ user, device: "third" });
  const tab = await stage.visit({ user, device: "third", context: third.context });
  const pages = [both, third, tab];
  const devices = pages.flatMap((page) => page.devices);
  let relayIsUp = true;
  const done = { writes: 0, switches: 0, kills: 0, reloads: 0 };

  const deadline = Date.now() + SECONDS * 1000;
  while (Date.now() < deadline) {
    const device = devices[dice(devices.length)];
    const choice = dice(100);
    if (choice < 88) {
      await device.exec(...write(choice, dice, (done.writes += 1)));
    } else if (choice < 92) {
      await device.switch(dice(2) === 0);
      done.switches += 1;
    } else if (choice < 96) {
      if (relayIsUp) await stage.relay.kill();
      else await stage.relay.start();
      relayIsUp = !relayIsUp;
      done.kills += relayIsUp ? 0 : 1;
    } else if (choice < 97 && relayIsUp) {
      // The page itself comes from the relay.
      await pages[dice(pages.length)].reload();
      done.reloads += 1;
    }
  }
  t.diagnostic(JSON.stringify(done));

  if (!relayIsUp) await stage.relay.start();
  for (const device of devices) await device.switch(true);
  for (const device of devices) {
    await device.waitFor((status) => ["live", "standby"].includes(status.state) && status.pendingChanges === 0);
  }
  const reference = devices[0];
  await until(
    "all devices to be equal",
    async () => {
      const expected = JSON.stringify(await content(reference));
      const others = await Promise.all(devices.map(content));
      return others.every((rows) => JSON.stringify(rows) === expected);
    },
    () => differences(reference, devices),
  );

  const fresh = await stage.visit({ user, device: "fresh" });
  await fresh.settled();
  assert.deepEqual(await content(fresh.device), await content(reference));
  for (const device of devices) {
    const { rejected, quarantined } = await device.status();
    assert.deepEqual({ rejected, quarantined }, { rejected: 0, quarantined: 0 });
  }
});

/** A statement and what is bound to it. All devices choose among the same few keys. */
function write(choice, dice, number) {
  const id = `k${dice(KEYS)}`;
  if (choice < 40) return ["INSERT OR IGNORE INTO tasks (id, title, created_at) VALUES (?, ?, ?)", [id, `new ${number}`, number]];
  if (choice < 65) return ["UPDATE tasks SET title = ? WHERE id = ?", [`edit ${number}`, id]];
  if (choice < 75) return ["UPDATE tasks SET done = 1 - done WHERE id = ?", [id]];
  if (choice < 85) return ["DELETE FROM tasks WHERE id = ?", [id]];
  return ["UPDATE tasks SET id = ? WHERE id = ?", [`k${dice(KEYS)}-${number}`, id]];
}

/** The replicated state without sentinels that say nothing: whether a row of cl 1 has one depends on the order of arrival. */
async function content(device) {
  return (await device.changes()).filter((row) => !row.endsWith(" -1 NULL 1 1"));
}

async function differences(reference, devices) {
  const expected = new Set(await content(reference));
  return Promise.all(
    devices.map(async (device) => {
      const rows = await content(device);
      const missing = [...expected].filter((row) => !rows.includes(row));
      return { device: device.name, status: await device.status(), missing, extra: rows.filter((row) => !expected.has(row)) };
    }),
  );
}

/** A small generator of numbers below a bound (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
