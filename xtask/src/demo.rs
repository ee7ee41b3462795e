//! `cargo xtask demo`: from a fresh clone to a page in the browser, by one command.
//! Decides the order and what may be left out the second time; the demo itself is `www/`, its server `crsqlite-relay`.
//! Called by `main`; `suites` takes the built app.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use duct::{Handle, cmd};

use crate::fresh::{Inputs, Stamp};
use crate::npm::{self, NPM};
use crate::pack;
use crate::run;
use crate::rust;
use crate::workspace::{CLIENT, Workspace};

const APP: &str = "www";

pub(crate) fn demo(ws: &Workspace, open: bool, port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).with_context(|| {
        format!("port {port} is taken; choose another: cargo xtask demo --port {}", port.wrapping_add(1))
    })?;

    // The relay's dependencies compile while npm and the linker work on the app.
    let (app, relay) = thread::scope(|scope| {
        let relay = scope.spawn(|| rust::relay(ws));
        let app = app(ws);
        let relay = relay.join().map_err(|_| anyhow::anyhow!("cargo's thread panicked"))?;
        anyhow::Ok((app?, relay?))
    })?;

    let data = ws.path("target/demo");
    std::fs::create_dir_all(&data).with_context(|| format!("creating {}", data.display()))?;
    let serve = cmd!(
        relay,
        "--dev",
        "--static",
        app,
        "--database",
        data.join("relay.db"),
        "--listen",
        address.to_string()
    );
    run::step("the relay, with the demo");
    let handle = serve.unchecked().start().context("starting the relay")?;
    let url = format!("http://localhost:{port}/");
    loop {
        if let Some(output) = handle.try_wait()? {
            bail!("the relay ended before it served anything ({})", output.status);
        }
        if TcpStream::connect(address).is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!(
        "\n  {url}\n\n  Open it twice (a second window, another profile) and edit. Ctrl-C ends the demo.\n"
    );
    if open {
        browse(&url);
    }
    attend(&handle)
}

// Until the relay ends. Ctrl-C reaches it by itself; a signal meant for us alone is handed on, so that none is left behind.
fn attend(relay: &Handle) -> Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&asked)).context("listening for Ctrl-C")?;
    }
    let mut told = false;
    loop {
        if let Some(output) = relay.try_wait().context("waiting for the relay")? {
            if told || output.status.success() {
                return Ok(());
            }
            bail!("the relay ended with {}", output.status);
        }
        if asked.load(Ordering::Relaxed) && !told {
            told = true;
            end(relay).context("ending the relay")?;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(unix)]
fn end(relay: &Handle) -> std::io::Result<()> {
    duct::unix::HandleExt::send_signal(relay, signal_hook::consts::SIGTERM)
}

#[cfg(not(unix))]
fn end(relay: &Handle) -> std::io::Result<()> {
    relay.kill()
}

/// Builds the demo app against the fresh package, unless nothing changed, and returns its folder.
pub(crate) fn app(ws: &Workspace) -> Result<PathBuf> {
    pack::pack(ws)?;
    let source = ws.path(APP);
    let built = source.join("dist");
    npm::install(ws, APP)?;
    linked(ws)?;
    let mut inputs = Inputs::of_this_tool()?;
    inputs.folder(&source, &["node_modules", "dist"])?;
    inputs.folder(&ws.pkg(), &[])?;
    let word = inputs.word();
    let stamp = Stamp::at(ws.scratch()?.join("app.stamp"));
    if stamp.says(&word) && built.join("index.html").exists() {
        run::step("the demo app is up to date");
        return Ok(built);
    }
    run::quiet("the demo app", &cmd!(NPM, "run", "build").dir(source))?;
    stamp.set(&word)?;
    Ok(built)
}

// The app must show this checkout's package. A link, not the tarball: npm would pin a tarball's digest in the app's lock
// file, and ours changes with every build.
fn linked(ws: &Workspace) -> Result<()> {
    let seen = ws.path(APP).join("node_modules").join(CLIENT).canonicalize().ok();
    if seen.is_none() || seen != ws.pkg().canonicalize().ok() {
        bail!("{APP}/package.json must depend on this checkout's package: \"{CLIENT}\": \"file:../pkg\"");
    }
    Ok(())
}

// A browser that does not open is no reason to end: the address was printed.
fn browse(url: &str) {
    let call = if cfg!(windows) {
        cmd!("cmd", "/C", "start", "", url)
    } else if cfg!(target_os = "macos") {
        cmd!("open", url)
    } else {
        cmd!("xdg-open", url)
    };
    if call.stdout_null().stderr_null().start().is_err() {
        run::step("no browser could be opened from here: open the address yourself");
    }
}
