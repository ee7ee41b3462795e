//! A PostgreSQL server of the run's own, in a folder that goes with it. Decides how it is started and that it ends; it
//! syncs its disk as it does where people use it. Used by `main`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A server that runs until it is stopped, or until this process ends.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: TempDir,
    child: Child,
}

impl Postgres {
    /// With the programs of this folder.
    pub(crate) async fn start(programs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pg").tempdir()?;
        let user = unprivileged().await?;
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group))?;
        }
        let data = folder.path().join("data");
        let command = |program: PathBuf| {
            let mut command = Command::new(program);
            command.current_dir(folder.path()).stdout(Stdio::null());
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command
        };
        let made = command(programs.join("initdb"))
            .args([
                "--username=relay",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--pgdata",
            ])
            .arg(&data)
            .status();
        ensure!(made.await.context("initdb")?.success(), "initdb failed");
        // It ends when its standard input does, so also when this process has ended.
        let script = r#""$@" & server=$!; read -r end; kill -s QUIT $server; wait $server"#;
        let mut server = command("sh".into());
        server.args(["-c", script, "sh"]).arg(programs.join("postgres")).arg("-D").arg(&data);
        server.arg("-k").arg(folder.path()).args([
            "-c",
            "listen_addresses=",
            "-c",
            "unix_socket_permissions=0777",
        ]);
        let mut child = server.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("its output")?).lines();
        let started = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("ready to accept connections") {
                    return Ok(());
                }
            }
            bail!("PostgreSQL did not start")
        };
        timeout(Duration::from_secs(30), started).await.context("PostgreSQL did not start in time")??;
        // Whoever writes into a pipe that nobody reads comes to a halt.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Postgres { folder, child })
    }

    /// The URL of the database that is always there.
    pub(crate) fn url(&self) -> OsString {
        format!("postgres://relay@localhost/postgres?host={}", self.folder.path().display()).into()
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        timeout(Duration::from_secs(10), self.child.wait()).await.context("PostgreSQL does not end")??;
        Ok(())
    }
}

/// PostgreSQL does not run as root: whom it runs as then.
async fn unprivileged() -> Result<Option<(u32, u32)>> {
    if id(&["-u"]).await? != Some(0) {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Some(user), Some(group)) = (id(&["-u", name]).await?, id(&["-g", name]).await?) {
            return Ok(Some((user, group)));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

async fn id(arguments: &[&str]) -> Result<Option<u32>> {
    let output = Command::new("id").args(arguments).output().await?;
    Ok(String::from_utf8(output.stdout)?.trim().parse().ok())
}
