//! Packages of the system, where apt-get can bring them.
//! Decides nothing about what is needed; installs it, or says why it cannot and what else to do. Called by `browser` and
//! `postgres`.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use duct::cmd;

use crate::run;

/// Installs these packages. `what` is missing here; `cure` says how else to come by it.
pub(crate) fn install(what: &str, packages: &[&str], cure: &str) -> Result<()> {
    if in_path("apt-get").is_none() {
        bail!("there is no {what} here: {cure}");
    }
    let is_root = cmd!("id", "-u").read().is_ok_and(|id| id.trim() == "0");
    let prefix: &[&str] = match is_root {
        true => &[],
        false if may_sudo() => &["sudo", "-n"],
        false => bail!("there is no {what} here, and apt-get needs root: {cure}"),
    };
    let apt = |args: &[&str]| {
        let words: Vec<&str> = prefix.iter().chain(&["apt-get"]).chain(args).copied().collect();
        let (program, rest) =
            words.split_first().map_or(("apt-get", &[][..]), |(first, rest)| (*first, rest));
        duct::cmd(program, rest).env("DEBIAN_FRONTEND", "noninteractive")
    };
    run::quiet(&format!("no {what} here: apt-get update"), &apt(&["update"]))?;
    let call: Vec<&str> =
        ["install", "-y", "--no-install-recommends"].iter().chain(packages).copied().collect();
    run::quiet(&format!("apt-get install {}", packages.join(" ")), &apt(&call))
        .with_context(|| cure.to_owned())
}

/// A program of PATH.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(&file)).find(|candidate| candidate.is_file())
}

fn may_sudo() -> bool {
    let sudo = cmd!("sudo", "-n", "true").stdout_null().stderr_null().unchecked().run();
    sudo.is_ok_and(|output| output.status.success())
}
