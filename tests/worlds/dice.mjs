// Seeded chance (mulberry32), also for whoever asks the platform for random bits: a world goes the same way every time.

export class Dice {
  #state;

  constructor(seed) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0;
  }

  /** 32 bits. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return (z ^ (z >>> 14)) >>> 0;
  }

  /** An integer from 0 up to, and without, `n`. */
  below(n) {
    return n > 0 ? this.next() % n : 0;
  }

  range(low, high) {
    return low + this.below(high - low + 1);
  }

  chance(percent) {
    return this.below(100) < percent;
  }

  bytes(into) {
    const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.next();
    return into;
  }

  /** Math.random() and crypto.getRandomValues() are these dice from now on. */
  rule() {
    Math.random = () => this.next() / 2 ** 32;
    crypto.getRandomValues = (into) => this.bytes(into);
  }
}
