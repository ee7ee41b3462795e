// The network of a world: frames on their way between devices and a relay, late, lost, doubled or overtaken as the
// scenario says and only until calm. Both sides of a connection learn in their own time that it is gone.
import { after } from "./time.mjs";

/** The close code of a relay that finds a message too large. */
const TOO_BIG = 1009;

export class Network {
  chaos = true;
  #scenario;
  #dice;
  #remote;
  #connections = new Map();
  #count = 0;

  constructor(scenario, dice, remote) {
    this.#scenario = scenario;
    this.#dice = dice;
    this.#remote = remote;
  }

  latency() {
    return this.#dice.range(1, this.#scenario.latency);
  }

  /** How many copies of what is sent arrive. */
  copies() {
    if (!this.chaos) return 1;
    if (this.#dice.chance(this.#scenario.loss)) return 0;
    return this.#dice.chance(this.#scenario.duplicates) ? 2 : 1;
  }

  /** A connection: `heard` is called with every frame, `refused` if the relay closes it for what was sent. */
  open(heard, refused) {
    const connection = { id: ++this.#count, heard, refused, device: true, relay: true, lastUp: 0, lastDown: 0 };
    this.#connections.set(connection.id, connection);
    return connection;
  }

  /** The device's side is gone; the relay notices now or later. */
  close(connection) {
    connection.device = false;
    const late = this.#dice.chance(30) ? this.#dice.below(10_000) : 0;
    after(late, () => this.#connections.delete(connection.id));
  }

  up(connection, frame) {
    for (let copies = this.copies(); copies > 0; copies--) {
      this.#travel(connection, "lastUp", () => this.#atRelay(connection, frame));
    }
  }

  /** Whatever the relay says of itself. */
  async beat() {
    const { others } = await this.#remote.beat();
    for (const frame of others) this.#tell(undefined, frame);
  }

  /** The relay forgets everybody; the devices are told by whoever calls. */
  forget() {
    for (const connection of this.#connections.values()) connection.relay = false;
  }

  async #atRelay(connection, frame) {
    if (!connection.relay || !this.#connections.has(connection.id)) return;
    if (frame.length > (this.#scenario.largestFrame ?? Infinity)) {
      connection.relay = false;
      after(this.latency(), () => connection.device && connection.refused(TOO_BIG));
      return;
    }
    const { replies, others } = await this.#remote.frame(frame, connection.id);
    for (const reply of replies) this.#down(connection, reply);
    for (const other of others) this.#tell(connection, other);
  }

  #tell(but, frame) {
    for (const connection of [...this.#connections.values()]) {
      if (connection !== but && connection.relay) this.#down(connection, frame);
    }
  }

  #down(connection, frame) {
    for (let copies = this.copies(); copies > 0; copies--) {
      this.#travel(connection, "lastDown", () => connection.device && connection.heard(frame));
    }
  }

  #travel(connection, direction, arrive) {
    let at = performance.now() + this.latency();
    if (!(this.chaos && this.#scenario.reorder)) {
      at = Math.max(at, connection[direction]);
      connection[direction] = at;
    }
    after(at - performance.now(), arrive);
  }
}
