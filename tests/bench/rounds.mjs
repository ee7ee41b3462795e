// Rounds: what is compared runs in turn, each time in another order, so that what the machine does beside us meets all alike.

export function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Round by round, how many times as long the other took: above 1, `ours` is faster. */
export const timesFaster = (ours, other) => ours.map((ms, round) => other[round] / ms);

/**
 * Lets each of `runners` (name → async (round) => milliseconds) have its turn, `rounds` times, after one round that does not
 * count. Resolves with name → milliseconds of each round.
 */
export async function alternate(runners, rounds) {
  const names = Object.keys(runners);
  const times = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -1; round < rounds; round += 1) {
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(turn + round + names.length) % names.length];
      const ms = await runners[name](round);
      if (round >= 0) times[name].push(ms);
    }
  }
  return times;
}
