//! What we change in wasm-bindgen's glue: used before init it says so (its variable `wasm`, undefined until then, starts
//! as an object that throws our error, so that no list of exports is kept); classes are disposed of by what they call
//! their end; and comments for documentation are left out. Never touches anything else; stops the build if the glue does
//! not look as expected. Called by `pack`.

use anyhow::{Result, bail};

const DECLARATION: &str = "let wasmModule, wasmInstance, wasm;";
const GUARDED: &str = "let wasmModule, wasmInstance, wasm = uninitialised;";

// The early return of initSync and of init.
const LOADED: &str = "if (wasm !== undefined) return wasm;";
const GUARDED_LOADED: &str = "if (wasm !== uninitialised) return wasm;";

/// What wasm-bindgen says behind every class. It would free the Rust half at the end of a block, while its socket lives on.
const FREES_ITSELF: &str = "if (Symbol.dispose) ";

/// The classes that `await using` may hold, and the method that is waited for.
const ENDS: [(&str, &str); 3] =
    [("HttpTransport", "disconnect"), ("SyncClient", "stop"), ("WsTransport", "disconnect")];

/// As transpilers name the symbol where the engine has none.
const ASYNC_DISPOSE: &str =
    "const asyncDispose = Symbol.asyncDispose ?? Symbol.for(\"Symbol.asyncDispose\");";

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
    let guarded = without_docs(glue).replace(DECLARATION, GUARDED).replace(LOADED, GUARDED_LOADED);
    let disposable = disposable(&guarded)?;
    Ok(format!("import {{ uninitialised }} from \"./error.js\";\n\n{ASYNC_DISPOSE}\n\n{disposable}"))
}

fn disposable(glue: &str) -> Result<String> {
    let lines: Vec<&str> = glue.lines().filter(|line| !line.starts_with(FREES_ITSELF)).collect();
    let mut text = lines.join("\n") + "\n";
    if text.contains("Symbol.dispose") {
        bail!("wasm-bindgen's glue changed: it disposes of classes in another way");
    }
    for (class, end) in ENDS {
        let opening = format!("export class {class} {{\n");
        if text.matches(&opening).count() != 1 || !text.contains(&format!("    {end}() {{")) {
            bail!("wasm-bindgen's glue changed: no class {class} with a method {end}");
        }
        let method = format!("    [asyncDispose]() {{\n        return this.{end}();\n    }}\n");
        text = text.replace(&opening, &(opening.clone() + &method));
    }
    Ok(text)
}

fn without_docs(glue: &str) -> String {
    let mut text = String::with_capacity(glue.len());
    let mut in_docs = false;
    for line in glue.lines() {
        in_docs |= line.trim() == "/**";
        if !in_docs {
            text.extend([line, "\n"]);
        }
        in_docs &= line.trim() != "*/";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{guard, without_docs};

    const GLUE: &str = "export class HttpTransport {
    disconnect() {
    }
}
if (Symbol.dispose) HttpTransport.prototype[Symbol.dispose] = HttpTransport.prototype.free;
export class SyncClient {
    stop() {
    }
}
if (Symbol.dispose) SyncClient.prototype[Symbol.dispose] = SyncClient.prototype.free;
export class WsTransport {
    disconnect() {
    }
}
        let wasmModule, wasmInstance, wasm;
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
    fn a_class_is_disposed_of_by_its_end_and_never_freed_under_its_user() {
        let guarded = guard(GLUE).unwrap();
        let method = "SyncClient {\n    [asyncDispose]() {\n        return this.stop();\n    }\n";
        assert!(guarded.contains(method));
        assert_eq!(guarded.matches("return this.disconnect();").count(), 2);
        assert!(!guarded.contains("Symbol.dispose") && !guarded.contains("prototype.free"));
        assert!(guard(&GLUE.replace("stop()", "halt()")).is_err());
        assert!(guard(&GLUE.replace("if (Symbol.dispose) ", "Symbol.dispose && ")).is_err());
    }

    #[test]
    fn comments_for_documentation_are_left_out_and_nothing_else() {
        let glue = "a\n  /**\n   * @param {any} a\n   */\n  b /** c */\n  /** d */\ne */\n";
        assert_eq!(without_docs(glue), "a\n  b /** c */\n  /** d */\ne */\n");
    }

    #[test]
    fn glue_that_looks_otherwise_stops_the_build() {
        assert!(guard("let wasm;").is_err());
        assert!(guard(&format!("{GLUE} new URL('x_bg.wasm', import.meta.url)")).is_err());
    }
}
