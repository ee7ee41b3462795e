//! wasm-bindgen tells imports of one name apart by a hash behind it, and nothing compresses those. Here a count of the
//! same length takes the place of each, in the glue and in the wasm alike, so that nothing moves.
//! Decides nothing else about either; stops the build if they do not name the same. Called by `pack`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

const PREFIX: &str = "__wbg_";
const DIGITS: usize = 16;

/// The glue with its imports renamed; in the wasm they are renamed where they stand.
pub(super) fn without_hashes(glue: &str, wasm: &mut [u8]) -> Result<String> {
    let renamed = renamed(glue);
    let mut glue = glue.to_owned();
    for (old, new) in &renamed {
        if rename(wasm, old.as_bytes(), new.as_bytes()) == 0 {
            bail!("wasm-bindgen's glue changed: the wasm has no import {old}");
        }
        glue = glue.replace(old, new);
    }
    Ok(glue)
}

fn renamed(glue: &str) -> BTreeMap<&str, String> {
    let mut counts = BTreeMap::new();
    let mut renamed = BTreeMap::new();
    for name in glue.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if let Some(bare) = without_hash(name).filter(|_| !renamed.contains_key(name)) {
            let count = counts.entry(bare).or_insert(0_u32);
            renamed.insert(name, format!("{bare}{count:0DIGITS$x}"));
            *count += 1;
        }
    }
    renamed
}

fn without_hash(name: &str) -> Option<&str> {
    let (bare, hash) = name.split_at_checked(name.len().checked_sub(DIGITS)?)?;
    let hashed =
        bare.starts_with(PREFIX) && bare.ends_with('_') && hash.bytes().all(|b| b.is_ascii_hexdigit());
    hashed.then_some(bare)
}

/// How often it was found.
fn rename(wasm: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    let mut found = 0;
    let mut rest = wasm;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        let (name, after) = rest.split_at_mut(at).1.split_at_mut(old.len());
        name.copy_from_slice(new);
        rest = after;
        found += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::without_hashes;

    const GLUE: &str = "
        import_: { __wbg_get_00112233445566ff: get, __wbg_get_a0112233445566ff: get_unchecked,
        __wbg_httptransport_free: free, __wbg_ptr: 1 }, wasm.__wbg_httptransport_free(this.__wbg_ptr),
        again(__wbg_get_a0112233445566ff)";

    #[test]
    fn names_differ_by_a_count_in_both() {
        let mut wasm = *b"\0\x1a__wbg_get_a0112233445566ff\0\x1a__wbg_get_00112233445566ff\0";
        let glue = without_hashes(GLUE, &mut wasm).unwrap();
        assert_eq!(&wasm, b"\0\x1a__wbg_get_0000000000000001\0\x1a__wbg_get_0000000000000000\0");
        assert!(glue.contains("__wbg_get_0000000000000000: get,"));
        assert!(glue.contains("__wbg_get_0000000000000001: get_unchecked,"));
        assert!(glue.contains("again(__wbg_get_0000000000000001)"));
        assert_eq!(glue.len(), GLUE.len());
        assert_eq!(glue.matches("__wbg_httptransport_free").count(), 2);
    }

    #[test]
    fn an_import_that_only_the_glue_has_stops_the_build() {
        assert!(without_hashes(GLUE, &mut *b"__wbg_get_a0112233445566ff".to_owned().as_mut_slice()).is_err());
    }
}
