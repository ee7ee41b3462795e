//! Chromium, Firefox and WebKit, for the tests that run in every engine.
//! Decides which are here; installs what lacks where apt-get can. A person's machine may do without Firefox or WebKit,
//! which is said aloud; CI may not. Never starts one. Called by `suites`.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::places;
use crate::apt;

/// What the tests are told in their environment, and why an engine is not among it.
#[derive(Debug)]
pub(crate) struct Engines {
    /// Empty where an engine is not to be looked for.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
    pub(crate) missing: Vec<String>,
}

/// A program of an engine: the variable that names it, and where else it may be.
type Program = (&'static str, fn() -> Vec<PathBuf>);

struct Engine {
    title: &'static str,
    programs: &'static [Program],
    packages: &'static [&'static str],
    cure: &'static str,
}

const OTHERS: [Engine; 2] = [
    Engine {
        title: "Firefox",
        programs: &[("FIREFOX", places::firefoxes)],
        packages: &["firefox-esr"],
        cure: "install Firefox (https://www.mozilla.org/firefox; on Debian: apt-get install firefox-esr), or set FIREFOX \
               to where it is",
    },
    Engine {
        title: "WebKit",
        programs: &[("WEBKIT_DRIVER", places::webkit_drivers), ("XVFB", places::displays)],
        packages: &["webkit2gtk-driver", "xvfb"],
        cure: "install WebKitGTK's driver and Xvfb, which are there for Linux (on Debian: apt-get install \
               webkit2gtk-driver xvfb), or set WEBKIT_DRIVER and XVFB to where they are",
    },
];

/// Chromium has to be there, as for every other suite that needs a browser.
pub(crate) fn ensure() -> Result<Engines> {
    let mut engines = Engines { variables: vec![("CHROME", super::ensure()?)], missing: Vec::new() };
    for engine in &OTHERS {
        match engine.ensure() {
            Ok(found) => engines.variables.extend(found),
            Err(error) if env::var_os("CI").is_some_and(|value| !value.is_empty()) => return Err(error),
            Err(error) => {
                engines
                    .variables
                    .extend(engine.programs.iter().map(|(variable, _)| (*variable, PathBuf::new())));
                engines.missing.push(format!("{} skipped: {error}", engine.title));
            }
        }
    }
    Ok(engines)
}

impl Engine {
    fn ensure(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        // Set, but to nothing: somebody wants to do without.
        if let Some((variable, _)) =
            self.programs.iter().find(|(name, _)| env::var_os(name).is_some_and(|v| v.is_empty()))
        {
            bail!("{variable} is set to nothing");
        }
        if let Some(found) = self.find() {
            return Ok(found);
        }
        apt::install(self.title, self.packages, self.cure)?;
        match self.find() {
            Some(found) => Ok(found),
            None => bail!("{} was installed but cannot be found: {}", self.title, self.cure),
        }
    }

    /// All of its programs, or none.
    fn find(&self) -> Option<Vec<(&'static str, PathBuf)>> {
        self.programs
            .iter()
            .map(|(variable, places)| Some((*variable, places().into_iter().next()?)))
            .collect()
    }
}
