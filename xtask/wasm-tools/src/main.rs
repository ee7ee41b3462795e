//! wasm-bindgen's own tools, so that they come from our lock file and nobody installs them by hand.
//! Decides only which tool runs; never changes its arguments, its output or its exit code.
//! Called by cargo as the runner of wasm32 tests (`.cargo/config.toml`) and by `cargo xtask pack`.

use std::ffi::OsString;

fn main() -> anyhow::Result<()> {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    // Both tools expect the program name first, so the word that chooses one of them is taken out from behind it.
    let tool = if args.len() > 1 { args.remove(1) } else { OsString::new() };
    match tool.to_str() {
        Some("bindgen") => wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(args),
        Some("test-runner") => wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(args),
        Some(_) | None => anyhow::bail!("usage: wasm-tools bindgen|test-runner <arguments of that tool>"),
    }
}
