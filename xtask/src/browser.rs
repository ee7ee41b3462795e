//! Chrome or Chromium, and the chromedriver that fits it; the other engines in `engines`.
//! Decides where people have them and which two go together; installs them only where apt-get can, and says so.
//! Called by `suites`.

mod engines;
mod places;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;
use serde_json::Value;

use crate::apt;
use crate::run;
use crate::workspace::Workspace;

pub(crate) use engines::ensure as ensure_all;

#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) chrome: PathBuf,
    pub(crate) driver: PathBuf,
}

/// A browser, for tests that drive it through its own protocol.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(chrome) = places::chromes().into_iter().next() {
        return Ok(chrome);
    }
    install()?;
    places::chromes()
        .into_iter()
        .next()
        .context("chromium was installed but cannot be found; set CHROME to its path")
}

/// A browser and its driver, for wasm-bindgen's test runner.
pub(crate) fn ensure_with_driver() -> Result<Browser> {
    if let Some(browser) = pair() {
        return Ok(browser);
    }
    install()?;
    pair()
        .context("chromium was installed but no fitting chromedriver was found; set CHROME and CHROMEDRIVER")
}

/// The capabilities of `webdriver.json` with the browser that we found, in a file of our own.
pub(crate) fn capabilities(ws: &Workspace, browser: &Browser) -> Result<PathBuf> {
    let text = run::read(&ws.path("webdriver.json"))?;
    let mut json: Value = serde_json::from_str(&text).context("reading webdriver.json")?;
    let options = json.get_mut("goog:chromeOptions").and_then(Value::as_object_mut);
    let options = options.context("webdriver.json has no goog:chromeOptions")?;
    options.insert("binary".to_owned(), Value::from(browser.chrome.to_string_lossy()));
    let path = ws.scratch()?.join("webdriver.json");
    run::write(&path, &json.to_string())?;
    Ok(path)
}

// The first browser whose major version is its driver's: the driver refuses any other.
fn pair() -> Option<Browser> {
    let chromes = places::chromes();
    for driver in places::drivers() {
        let wanted = major(&driver);
        let fits =
            |chrome: &&PathBuf| wanted.is_none() || major(chrome).is_none_or(|own| Some(own) == wanted);
        if let Some(chrome) = chromes.iter().find(fits) {
            return Some(Browser { chrome: chrome.clone(), driver });
        }
    }
    None
}

// Unknown on Windows, where asking Chrome for its version opens a window.
fn major(program: &Path) -> Option<u32> {
    if cfg!(windows) {
        return None;
    }
    parse_major(&cmd!(program, "--version").stderr_null().read().ok()?)
}

fn parse_major(version: &str) -> Option<u32> {
    version.split_whitespace().find_map(|word| word.split_once('.')?.0.parse().ok())
}

fn install() -> Result<()> {
    let cure = "install Google Chrome (https://www.google.com/chrome) and the chromedriver of the same version \
                (npx @puppeteer/browsers install chromedriver@stable; on Debian: apt-get install chromium \
                chromium-driver), or set CHROME and CHROMEDRIVER to where they are";
    apt::install("Chrome with a fitting chromedriver", &["chromium", "chromium-driver"], cure)
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn both_programs_tell_their_major_version() {
        assert_eq!(parse_major("Chromium 142.0.7444.59 built on Debian GNU/Linux 12 (bookworm)"), Some(142));
        assert_eq!(
            parse_major("ChromeDriver 142.0.7444.59 (4b8153ab-refs/branch-heads/7444@{#1})"),
            Some(142)
        );
        assert_eq!(parse_major("Google Chrome for Testing 141.0.7390.37"), Some(141));
        assert_eq!(parse_major("sh: not found"), None);
    }
}
