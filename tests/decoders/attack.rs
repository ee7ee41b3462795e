//! The short attack of the normal run: damages what an entry takes, in the ways that break decoders. The same for the
//! same seed. Decides how bytes are damaged; what must hold then is for the entries to say.
//! Called by the property tests of the client and of the relay.

const SEED: u64 = 4711;

/// Random enough, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Some stretch of the bytes.
    fn stretch(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let from = self.below(bytes.len() + 1);
        let length = self.below(bytes.len() - from + 1);
        from..from + if self.below(4) == 0 { length } else { length.min(8) }
    }
}

/// Where decoders err: ends of ranges, escapes, brackets, what looks like a number.
const PIECES: [&str; 36] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "false",
    "{}",
    "[]",
    "\"\"",
    "0",
    "-",
    "-0",
    "1e999",
    "1e-999",
    "0.5",
    "5.0",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\ud83d\\ude00",
    "\u{feff}",
    "\u{1F600}",
    "{\"$int\":\"1\"}",
    "{\"$blob\":\"\"}",
    "\u{0}",
];

/// Prints the input that an entry did not stand.
struct Case<'a>(&'a str, &'a [u8]);

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, seed {SEED}: {:?}", self.0, String::from_utf8_lossy(self.1));
        }
    }
}

fn damaged(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = dice.pick(seeds).clone();
    for _ in 0..dice.below(5) {
        let stretch = dice.stretch(&bytes);
        let at = stretch.start;
        match dice.below(7) {
            0 => drop(bytes.drain(stretch)),
            1 => drop(bytes.splice(at..at, dice.pick(&PIECES).bytes())),
            2 => drop(bytes.splice(stretch, dice.pick(&PIECES).bytes())),
            3 => drop(bytes.splice(at..at, bytes[stretch].to_vec())),
            4 => {
                let other = dice.pick(seeds);
                drop(bytes.splice(stretch, other[dice.stretch(other)].to_vec()));
            }
            5 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            _ => bytes.insert(at, dice.next() as u8),
        }
    }
    bytes
}

/// Damages the entry's seeds so many times. Both what is taken and what is refused must have come up.
pub(crate) fn attack(name: &str, entry: fn(&[u8]) -> bool, seeds: &[Vec<u8>], rounds: usize) {
    println!("{name}: seed {SEED}");
    let mut dice = Dice(SEED);
    let run = |bytes: &[u8]| {
        let _case = Case(name, bytes);
        entry(bytes)
    };
    let taken = seeds.iter().filter(|seed| run(seed)).count();
    assert!(taken * 4 >= seeds.len() && taken > 0, "only {taken} of {} seeds are taken", seeds.len());
    let taken = (0..rounds).filter(|_| run(&damaged(&mut dice, seeds))).count();
    assert!((rounds / 50..=rounds * 49 / 50).contains(&taken), "{taken} of {rounds} were taken");
    for _ in 0..rounds / 10 {
        let length = dice.below(40);
        let random: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
        run(&random);
    }
}
