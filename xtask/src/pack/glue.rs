//! The one change that we make to wasm-bindgen's glue: used before init, it says so.
//! The glue reaches everything through its variable `wasm`, which is undefined until init and so fails with whatever
//! TypeError comes first. Here it starts as an object that throws our error instead, so no list of exports is kept.
//! Never touches anything else; stops the build if the glue does not look as expected. Called by `pack`.

use anyhow::{Result, bail};

const DECLARATION: &str = "let wasmModule, wasmInstance, wasm;";
const GUARDED: &str = "let wasmModule, wasmInstance, wasm = uninitialised;";

// The early return of initSync and of init.
const LOADED: &str = "if (wasm !== undefined) return wasm;";
const GUARDED_LOADED: &str = "if (wasm !== uninitialised) return wasm;";

pub(super) fn guard(glue: &str) -> Result<String> {
    let expected = [(DECLARATION, 1), (LOADED, 2)];
    for (text, times) in expected {
        let found = glue.matches(text).count();
        if found != times {
            bail!("wasm-bindgen's glue changed: expected {times} × `{text}`, found {found}");
        }
    }
    // The loader's is the only address in the package.
    for text in ["import.meta.url", "new URL("] {
        if glue.contains(text) {
            bail!("wasm-bindgen's glue names a file by itself: `{text}`");
        }
    }
    let guarded = glue.replace(DECLARATION, GUARDED).replace(LOADED, GUARDED_LOADED);
    Ok(format!("import {{ uninitialised }} from \"./error.js\";\n\n{guarded}"))
}

#[cfg(test)]
mod tests {
    use super::guard;

    const GLUE: &str = "let wasmModule, wasmInstance, wasm;
        function initSync(module) { if (wasm !== undefined) return wasm; }
        async function __wbg_init(path) { if (wasm !== undefined) return wasm; }";

    #[test]
    fn the_variable_starts_as_the_guard_and_both_early_returns_know_it() {
        let guarded = guard(GLUE).unwrap();
        assert!(guarded.starts_with("import { uninitialised }"));
        assert_eq!(guarded.matches("uninitialised").count(), 4);
        assert!(!guarded.contains("undefined"));
    }

    #[test]
    fn glue_that_looks_otherwise_stops_the_build() {
        assert!(guard("let wasm;").is_err());
        assert!(guard(&format!("{GLUE} new URL('x_bg.wasm', import.meta.url)")).is_err());
    }
}
