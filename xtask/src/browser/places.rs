//! Where people have Chrome, Chromium, Firefox and WebKit with their drivers, the likeliest place first.
//! Only looks; never runs or installs anything. Called by `browser` and `browser::engines`.

use std::env;
use std::path::{Path, PathBuf};

use crate::apt::in_path;
use crate::fresh::listed;

const CHROMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const DRIVER: &str = "chromedriver";
const FIREFOXES: [&str; 2] = ["firefox-esr", "firefox"];

const MAC: [&str; 3] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
];
const LINUX_DRIVERS: [&str; 3] = [
    "/usr/lib/chromium-browser/chromedriver",
    "/usr/lib/chromium/chromedriver",
    "/snap/bin/chromium.chromedriver",
];
const WINDOWS: [&str; 2] = ["Google/Chrome/Application/chrome.exe", "Chromium/Application/chrome.exe"];
const MAC_FIREFOX: &str = "/Applications/Firefox.app/Contents/MacOS/firefox";
const WINDOWS_FIREFOX: &str = "Mozilla Firefox/firefox.exe";
/// Below a folder `chromium-<revision>` of Playwright's cache.
const PLAYWRIGHT: [&str; 6] = [
    "chrome-linux/chrome",
    "chrome-linux64/chrome",
    "chrome-mac/Chromium.app/Contents/MacOS/Chromium",
    "chrome-mac-arm64/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
    "chrome-win/chrome.exe",
    "chrome-win64/chrome.exe",
];

/// Every browser found. `CHROME` is the only one when it is set.
pub(super) fn chromes() -> Vec<PathBuf> {
    if let Some(path) = set("CHROME") {
        return vec![path];
    }
    let mut found: Vec<PathBuf> = CHROMES.iter().filter_map(|name| in_path(name)).collect();
    found.extend(MAC.iter().map(PathBuf::from));
    found.extend(program_files().flat_map(|root| WINDOWS.map(|below| root.join(below))));
    found.extend(of_playwright());
    found.retain(|path| path.is_file());
    found
}

/// Every driver found. `CHROMEDRIVER` is the only one when it is set.
pub(super) fn drivers() -> Vec<PathBuf> {
    if let Some(path) = set("CHROMEDRIVER") {
        return vec![path];
    }
    let file = format!("{DRIVER}{}", env::consts::EXE_SUFFIX);
    let mut found: Vec<PathBuf> = in_path(DRIVER).into_iter().collect();
    // The name that hosted CI machines use for the folder.
    found.extend(env::var_os("CHROMEWEBDRIVER").map(|folder| Path::new(&folder).join(&file)));
    found.extend(LINUX_DRIVERS.iter().map(PathBuf::from));
    found.extend(chromes().iter().filter_map(|chrome| chrome.parent()).map(|folder| folder.join(&file)));
    found.retain(|path| path.is_file());
    found
}

/// Every Firefox found. `FIREFOX` is the only one when it is set.
pub(super) fn firefoxes() -> Vec<PathBuf> {
    let mac_and_windows = std::iter::once(PathBuf::from(MAC_FIREFOX))
        .chain(program_files().map(|root| root.join(WINDOWS_FIREFOX)));
    named("FIREFOX", &FIREFOXES, mac_and_windows)
}

/// The driver of WebKitGTK. `WEBKIT_DRIVER` is the only one when it is set.
pub(super) fn webkit_drivers() -> Vec<PathBuf> {
    named("WEBKIT_DRIVER", &["WebKitWebDriver"], std::iter::empty())
}

/// The X display that WebKitGTK needs. `XVFB` is the only one when it is set.
pub(super) fn displays() -> Vec<PathBuf> {
    named("XVFB", &["Xvfb"], std::iter::empty())
}

fn named(variable: &str, in_path_as: &[&str], elsewhere: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    if let Some(path) = set(variable) {
        return vec![path];
    }
    let mut found: Vec<PathBuf> =
        in_path_as.iter().filter_map(|name| in_path(name)).chain(elsewhere).collect();
    found.retain(|path| path.is_file());
    found
}

// Of Windows; elsewhere there are none.
fn program_files() -> impl Iterator<Item = PathBuf> {
    ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"].iter().filter_map(env::var_os).map(PathBuf::from)
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

// The newest download first.
fn of_playwright() -> Vec<PathBuf> {
    let home = env::home_dir().unwrap_or_default();
    let cache = set("PLAYWRIGHT_BROWSERS_PATH").unwrap_or_else(|| {
        if cfg!(target_os = "macos") {
            home.join("Library/Caches/ms-playwright")
        } else if cfg!(windows) {
            home.join("AppData/Local/ms-playwright")
        } else {
            home.join(".cache/ms-playwright")
        }
    });
    let mut downloads = listed(&cache).unwrap_or_default();
    downloads.retain(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("chromium-")));
    downloads.reverse();
    downloads.iter().flat_map(|folder| PLAYWRIGHT.iter().map(|below| folder.join(below))).collect()
}
