//! The servers under load: processes of their own, so that what they use can be told from what the clients use.
//! Decides how each is started and read; never what is done to it. Used by the scenarios.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Signs the tokens of a run.
pub(crate) const SECRET: &str = "a secret of a load test, 32 bytes at least";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours, which stores.
    Storing,
    /// Ours with `--no-store`: it does what the one beside it does.
    Plain,
    /// A broadcast loop over `ws`, in Node.
    Node,
}

impl Kind {
    /// The others are measured beside the last one.
    pub(crate) const ALL: [Kind; 3] = [Kind::Storing, Kind::Plain, Kind::Node];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Storing => "crsqlite-relay",
            Kind::Plain => "crsqlite-relay --no-store",
            Kind::Node => "ws broadcast (Node)",
        }
    }

    /// Whether it answers a request itself.
    pub(crate) fn answers(self) -> bool {
        self == Kind::Storing
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) relay: PathBuf,
    pub(crate) broadcast: PathBuf,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Child,
    pub(crate) address: String,
}

impl Relay {
    /// Starts it on a free port.
    pub(crate) async fn start(kind: Kind, programs: &Programs, database: &OsStr) -> Result<Self> {
        let mut command = match kind {
            Kind::Node => {
                let mut command = Command::new("node");
                command.arg(&programs.broadcast);
                command
            }
            Kind::Storing | Kind::Plain => {
                let mut command = Command::new(&programs.relay);
                // The bounds of one user and one address are not what is measured here.
                let bounds = [
                    "--max-connections=15000",
                    "--max-connections-per-user=1000",
                    "--max-connections-per-address=20000",
                    // A device that gets no turn on a busy machine is soon thousands of messages behind the others.
                    "--queue-messages=1000000",
                    "--queue-bytes=1000000000",
                    "--rate-messages=0",
                    "--rate-bytes=0",
                ];
                command.args(["--listen", "127.0.0.1:0", "--database"]).arg(database).args(bounds);
                if kind == Kind::Plain {
                    command.arg("--no-store");
                }
                command
            }
        };
        let command = command
            .env("CRSQLITE_RELAY_LOG", "error")
            .env("CRSQLITE_RELAY_JWT_SECRET", SECRET)
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", kind.name()))?;
        let output = child.stdout.take().context("its output")?;
        let mut lines = BufReader::new(output).lines();
        let started = timeout(Duration::from_secs(10), async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    return Ok(address.to_owned());
                }
            }
            bail!("{} did not start", kind.name())
        });
        let address = started.await.with_context(|| format!("{} did not start in time", kind.name()))??;
        // Whoever writes into a pipe that nobody reads comes to a halt.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Relay { child, address })
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Processor time that it has used.
    pub(crate) fn processor(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // After the name in parentheses: state is the first field, user and system time the twelfth and thirteenth.
        let fields = stat.rsplit(')').next().context("stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
        // Linux reports hundredths of a second, whatever the kernel counts in.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Ends it at once, as a crash does.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    fn proc(&self, file: &str) -> Result<String> {
        let id = self.child.id().context("it has ended")?;
        let path = format!("/proc/{id}/{file}");
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}: needs Linux"))
    }
}
