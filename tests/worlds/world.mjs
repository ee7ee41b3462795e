// Plays one scenario with real databases and clients, and says what must hold afterwards: all replicas are equal, a new
// device too, nothing that was held or promised is missing, the clients show it, and the traffic stops.
import { Dice } from "./dice.mjs";
import { Device, disks, openPages } from "./device.mjs";
import { Network } from "./network.mjs";
import { remoteOf } from "./remotes.mjs";
import { difference, held, state } from "./replicas.mjs";
import { after, meanwhile, pass, restart } from "./time.mjs";
import { Calls, Frames } from "./transports.mjs";

const MINUTE = 60_000;
/** How long replicas may take to agree: regular beats, retries around them, and slow links with small messages. */
const PATIENCE = 4 * 60 * MINUTE;
/** Within so many windows there has to be a quiet one. */
const WINDOWS = 60;
/** How often an idle relay that stores repeats its head. */
const BEAT = 3 * MINUTE;

/** Plays a scenario to its end; throws what went wrong. */
export async function play(scenario) {
  restart();
  const dice = new Dice(scenario.seed);
  dice.rule();
  const world = new World(scenario, dice, await remoteOf(scenario));
  try {
    await world.live();
    await meanwhile(() => world.close());
  } catch (error) {
    error.message += world.report();
    throw error;
  } finally {
    // The clients of a world that went wrong are left as they are: without the clock nothing moves them.
    restart();
  }
}

class World {
  devices = [];
  story = [];
  #scenario;
  #remote;
  #network;
  #calmAt;

  constructor(scenario, dice, remote) {
    this.#scenario = scenario;
    this.dice = dice;
    this.#remote = remote;
    this.#network = new Network(scenario, dice, remote);
  }

  transport() {
    if (this.#scenario.remote !== "push-pull") return new Frames(this.#network, this.dice);
    const tell = (but, news) => {
      for (const { transport } of this.devices) if (transport && transport !== but) transport.hear(news);
    };
    return new Calls(this.#network, this.dice, this.#remote, this.#scenario.callFaults, tell);
  }

  async live() {
    const { devices, steps, calmAt } = this.#scenario;
    for (const beginning of devices) {
      const device = await this.#add(beginning);
      after(beginning.at, () => device.start());
    }
    for (const step of steps) after(step.at, () => this.#step(step));
    if (this.#scenario.remote === "storing") this.#beat();
    await pass(calmAt);
    await meanwhile(() => this.#calm());
    const before = await this.#held();
    await this.#agree("after the chaos");
    await this.#keepsPromises(before);
    await this.#quiet();
    const newcomer = await this.#add({ tables: this.#scenario.newest.tables, schema: this.#scenario.newest.schema });
    await meanwhile(() => newcomer.start());
    await this.#agree("with a new device");
    await this.#shown();
  }

  async close() {
    for (const device of this.devices) await device.close();
  }

  async #add(beginning) {
    const device = new Device(this, this.devices.length, beginning, this.#scenario);
    await device.install(beginning.schema);
    this.devices.push(device);
    return device;
  }

  #beat() {
    after(BEAT, async () => {
      await this.#network.beat();
      this.#beat();
    });
  }

  // -------------------------------------------------------------------------------------------------- chaos

  async #step(step) {
    const device = this.devices[step.device];
    this.story.push(`${Math.round(performance.now())} ${JSON.stringify(step)}`);
    const done = {
      write: () => device.write(step.statements, step.keep),
      begin: () => device.begin(),
      end: () => device.end(step.keep),
      migrate: () => device.migrate(step.migration),
      toggle: () => device.toggle(step),
      copy: () => device.copies.push(device.pages),
      crash: () => this.#crash(device, step),
      restore: () => this.#crash(device, step, device.copies[step.pick % device.copies.length]),
      client: () => this.#newClient(device, step.grow),
      cut: () => device.transport?.cut(),
      offline: () => this.#offline(device, step.away),
      syncNow: () => device.wait("round"),
      wait: () => device.wait(step.level),
      server: () => this.#server(step),
    };
    await done[step.do]();
  }

  async #crash(device, { lose, down }, pages) {
    await device.crash(lose ?? 0, pages);
    after(down, () => device.start());
  }

  /** A new client in the same process, whose `tables` may have grown. */
  async #newClient(device, grow) {
    if (!device.isUp) return;
    if (grow) {
      if (!this.#misses(device)) return;
      device.tables = this.#scenario.newest.tables;
    }
    await device.stop();
    await device.start();
  }

  #misses({ tables }) {
    return tables !== undefined && tables.length < this.#scenario.newest.tables.length;
  }

  #offline(device, away) {
    device.online = false;
    device.transport?.go();
    after(away, () => this.#online(device));
  }

  #online(device) {
    device.online = true;
    device.transport?.come();
  }

  async #server({ what, long }) {
    const { drops } = await this.#remote.misfortune(what);
    if (what === "fail") after(long, () => this.#remote.misfortune("heal"));
    if (!drops) return;
    this.#network.forget();
    for (const { transport } of this.devices) transport?.cut();
  }

  /** Nothing goes wrong any more: everybody is up, online and migrated, and all apps are silent. */
  async #calm() {
    this.story.push(`${performance.now()} calm`);
    this.#network.chaos = false;
    this.#calmAt = Date.now();
    await this.#remote.misfortune("heal");
    const { resync } = await this.#remote.promised();
    for (const device of this.devices) {
      await device.end(this.dice.chance(50));
      await device.migrate(this.#scenario.newest.migration);
      await device.start();
      this.#online(device);
      await this.#newClient(device, true);
      if (resync) device.wait("resync");
    }
  }

  // -------------------------------------------------------------------------------------------------- after

  async #held() {
    const rows = await Promise.all(this.devices.map(({ db }) => held(db, this.#scenario.newest.tables)));
    const { sql } = await this.#remote.promised();
    return [...new Set([...rows.flat(), ...sql])];
  }

  #states() {
    return Promise.all(this.devices.map(({ db }) => state(db, this.#scenario.newest.tables)));
  }

  async #agree(when) {
    for (let waited = 0, pause = MINUTE / 4; ; waited += pause, pause = Math.min(2 * pause, 10 * MINUTE)) {
      await pass(pause);
      const states = await this.#states();
      if (states.every((one) => one === states[0])) return;
      if (waited > PATIENCE) throw new Error(`${when}, replicas differ:\n${difference(states)}`);
    }
  }

  /** Whoever is told once more of all that was held or promised learns nothing new. */
  async #keepsPromises(merges) {
    const name = "promises";
    const db = await openPages(name, this.devices[0].pages);
    const before = await state(db, this.#scenario.newest.tables);
    await db.tx((tx) => tx.execMany(merges.map((sql) => `${sql};`)));
    const now = await state(db, this.#scenario.newest.tables);
    await db.close();
    disks.drop(name);
    if (now !== before) throw new Error(`rows that were promised or held are missing everywhere:\n${difference([before, now])}`);
  }

  /** Nothing goes on but the regular beats. */
  async #quiet() {
    const window = (this.#isLong ? 20 : 2) * MINUTE;
    const most = this.#scenario.remote === "plain" ? 6 : 0;
    const regular = (window * 10) / (this.#scenario.pullIntervalMs * 9) + 1;
    const count = () => this.devices.map(({ transport: { sent, pulls } }) => ({ sent, pulls }));
    let loud;
    for (let windows = 0; windows < WINDOWS; windows++) {
      const before = count();
      await pass(window);
      loud = count().map(({ sent, pulls }, n) => ({ sent: sent - before[n].sent, pulls: pulls - before[n].pulls }));
      if (loud.every(({ sent, pulls }) => sent <= most && pulls <= regular)) return;
    }
    throw new Error(`the traffic does not stop: in the last window ${JSON.stringify(loud)}`);
  }

  /** What the clients show fits what is, and nothing that was waited for is left open. */
  async #shown() {
    const { remote } = this.#scenario;
    const fine = ({ status, waiting }) =>
      status.state === "live" && status.pendingChanges === 0 && status.quarantined === 0 && waiting === 0 &&
      (remote === "push-pull" || !this.#isLong || status.verifiedAt > this.#calmAt);
    for (let waited = 0; !this.devices.every(fine); waited += MINUTE / 4) {
      if (waited > PATIENCE) throw new Error("all are in step, but do not show it");
      await pass(MINUTE / 4);
    }
    // However well it heals: nothing here damages what is stored.
    const differed = this.devices.flatMap(({ errors }) => errors.filter(({ code }) => code === "replicas-differed"));
    if (differed.length > 0) throw new Error(`replicas have differed for a while: ${differed[0].message}`);
  }

  /** Silence is dear, because real clients look after their databases meanwhile: only some worlds wait for the slow beats. */
  get #isLong() {
    return this.#scenario.seed % 16 === 0;
  }

  report() {
    const lines = this.devices.map((device) => {
      const { errors, waiting, number } = device;
      const status = device.isUp ? JSON.stringify(device.status) : "down";
      return `d${number} ${status} waiting ${waiting} errors ${errors.slice(-5).map(({ code, message }) => `${code} ${message}`)}`;
    });
    return `\n${lines.join("\n")}\n${this.story.slice(-40).join("\n")}`;
  }
}
