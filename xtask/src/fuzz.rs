//! `cargo xtask fuzz`: the fuzzer over every decoder that meets foreign bytes, one target after the other.
//! Decides how cargo-fuzz is called; installs nothing, and names what is missing. What a decoder owes is said in
//! `tests/decoders`. Called by `main`.

use anyhow::{Result, bail};
use duct::{Expression, cmd};

use crate::run;
use crate::workspace::{Workspace, cargo};

/// The one target that needs the relay, which takes minutes to build.
const OF_THE_RELAY: &str = "request";

/// So many inputs for each target, or for those that are named.
pub(crate) fn fuzz(ws: &Workspace, runs: u64, only: &[String]) -> Result<()> {
    let works = |command: Expression| {
        command.stdout_null().stderr_null().unchecked().run().is_ok_and(|output| output.status.success())
    };
    if !works(cmd!(cargo(), "fuzz", "--version")) {
        bail!("cargo-fuzz is not installed: cargo install cargo-fuzz");
    }
    let nightly = works(cmd!("rustup", "run", "nightly", "rustc", "--version"));
    let with = |args: Vec<String>| {
        if nightly {
            let start = ["run", "nightly", "cargo"].map(String::from);
            duct::cmd("rustup", start.into_iter().chain(args)).env_remove("CARGO")
        } else {
            // A stable compiler takes the fuzzer's flags when it is told that it may.
            duct::cmd(cargo(), args).env("RUSTC_BOOTSTRAP", "1")
        }
        .dir(ws.path("fuzz"))
        .env_remove("RUSTUP_TOOLCHAIN")
    };
    if !nightly {
        run::step("there is no nightly toolchain (rustup toolchain install nightly): trying with this one");
    }
    let targets = cmd!(cargo(), "fuzz", "list").dir(ws.path("fuzz")).read()?;
    let targets: Vec<&str> =
        targets.lines().filter(|name| only.is_empty() || only.iter().any(|only| only == name)).collect();
    if targets.is_empty() {
        bail!("there is no such target; `cargo fuzz list` in fuzz/ lists them");
    }
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let relay = if targets.contains(&OF_THE_RELAY) { " --features relay" } else { "" };
    run::shown(
        "the first inputs, from the vectors",
        &with(words(&format!("run --quiet --example seeds{relay}"))),
    )?;
    for target in targets {
        let relay = if target == OF_THE_RELAY { "--features relay " } else { "" };
        // Without a sanitizer: there is no unsafe code to watch, and it is ten times as fast.
        let call = format!(
            "fuzz run --sanitizer none {relay}{target} -- -runs={runs} -max_len=600 -timeout=5 -rss_limit_mb=512 \
             -dict=corpus/words -print_final_stats=1"
        );
        run::shown(&format!("{runs} inputs for {target}"), &with(words(&call)))?;
    }
    Ok(())
}
