//! Where things are, and what the package is called.
//! Reads `cargo metadata` once; never builds or writes anything. Handed to every task by `main`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// The crate that becomes the npm package.
pub(crate) const CLIENT: &str = "crsqlite-sync";
/// The server binary and its crate.
pub(crate) const RELAY: &str = "crsqlite-relay";

#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    client: Value,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let text = duct::cmd!(cargo(), "metadata", "--no-deps", "--format-version", "1").read()?;
        let metadata: Value = serde_json::from_str(&text).context("reading cargo metadata")?;
        let path = |key: &str| {
            let text = metadata.get(key).and_then(Value::as_str);
            text.map(PathBuf::from).with_context(|| format!("cargo metadata names no {key}"))
        };
        let packages = metadata.get("packages").and_then(Value::as_array);
        let client = packages.into_iter().flatten().find(|p| p.get("name").is_some_and(|n| n == CLIENT));
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            client: client.context("the client is not in the workspace")?.clone(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root, written with slashes.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// What cargo built for this machine in the dev profile.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// What cargo built for this machine in the release profile.
    pub(crate) fn optimised(&self, name: &str) -> PathBuf {
        self.target.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// What cargo built of the client for the browser.
    pub(crate) fn raw_wasm(&self) -> PathBuf {
        self.target.join("wasm32-unknown-unknown/wasm/crsqlite_sync.wasm")
    }

    /// The same in the profile of the tests.
    pub(crate) fn quick_wasm(&self) -> PathBuf {
        self.target.join("wasm32-unknown-unknown/debug/crsqlite_sync.wasm")
    }

    /// The package's folder, as it will be installed.
    pub(crate) fn pkg(&self) -> PathBuf {
        self.path("pkg")
    }

    /// The packed package under a name without version. Fixed, because other manifests may name it.
    pub(crate) fn tarball(&self) -> PathBuf {
        self.path("target/pack/crsqlite-sync.tgz")
    }

    /// Our own folder for what is neither a build product nor worth keeping.
    pub(crate) fn scratch(&self) -> Result<PathBuf> {
        let scratch = self.path("target/xtask");
        std::fs::create_dir_all(&scratch).with_context(|| format!("creating {}", scratch.display()))?;
        Ok(scratch)
    }

    /// A field of the client's Cargo.toml, as cargo resolved it: name, version, description, license.
    pub(crate) fn field(&self, name: &str) -> Result<&str> {
        let value = self.client.get(name).and_then(Value::as_str);
        value.with_context(|| format!("the client's Cargo.toml has no {name}"))
    }
}

/// The cargo that runs us, so that a toolchain chosen on the command line stays chosen.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
