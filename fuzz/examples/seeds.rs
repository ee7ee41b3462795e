//! Writes the first corpus of every target, `corpus/<target>/`, and the words that the fuzzer tries, `corpus/words`.
//! Called before fuzzing; what the fuzzer has found by itself stays.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use crsqlite_sync_fuzz::entries::ENTRIES;
use crsqlite_sync_fuzz::seeds;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut words = BTreeSet::new();
    let all = ENTRIES.iter().map(|(name, _)| (*name, seeds::of(name)));
    #[cfg(feature = "relay")]
    let all = all.chain([("request", crsqlite_sync_fuzz::relay::seeds())]);
    for (name, seeds) in all {
        let folder = corpus.join(name);
        fs::create_dir_all(&folder)?;
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index}")), seed)?;
            words.extend(quoted(&String::from_utf8_lossy(seed)));
        }
    }
    fs::write(corpus.join("words"), words.into_iter().collect::<String>())?;
    Ok(())
}

/// The names and short texts of a document, as lines of a dictionary of libFuzzer.
fn quoted(text: &str) -> Vec<String> {
    let plain = |word: &&str| {
        (2..30).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    text.split('"').filter(plain).map(|word| format!("\"\\\"{word}\\\"\"\n")).collect()
}
