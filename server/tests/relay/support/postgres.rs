//! A PostgreSQL server of the tests' own, in a folder that goes with it: found where people have it, started once for the
//! program, ended with it. With a database for each folder that a test uses.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use tempfile::TempDir;

/// The server that all tests of this program share. What it loses when the machine fails matters to nobody.
static SHARED: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&["fsync=off"]));

/// The database that belongs to this folder, made at the first call.
pub async fn database_of(folder: &Path) -> String {
    SHARED.database(folder).await
}

/// Runs statements in the database that belongs to this folder.
pub async fn run(folder: &Path, sql: &'static str) {
    let mut db = sqlx::PgConnection::connect(&database_of(folder).await).await.unwrap();
    sqlx::raw_sql("SET search_path TO crsqlite_relay").execute(&mut db).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

/// The second folder has no database yet.
pub async fn copy(from: &Path, to: &Path) {
    let (from, to) = (name_of(from), name_of(to));
    SHARED.manage(format!("CREATE DATABASE {to} TEMPLATE {from}")).await;
    SHARED.made.lock().unwrap().insert(to);
}

/// Makes a copy of the first folder's database, beside relays that use it, as a backup does.
pub async fn hold(from: &Path, to: &Path) {
    SHARED.cut_off(from).await;
    copy(from, to).await;
    SHARED.manage(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", name_of(from))).await;
}

/// Puts the copy in the place of the first folder's database, under relays that use it.
pub async fn replace(folder: &Path, copy: &Path) {
    SHARED.cut_off(folder).await;
    let (name, copy) = (name_of(folder), name_of(copy));
    SHARED.manage(format!("DROP DATABASE {name}")).await;
    SHARED.manage(format!("ALTER DATABASE {copy} RENAME TO {name}")).await;
}

pub async fn remove(folder: &Path) {
    let name = name_of(folder);
    SHARED.manage(format!("DROP DATABASE IF EXISTS {name}")).await;
    SHARED.made.lock().unwrap().remove(&name);
}

/// A server, ended when this is dropped, and when this process ends.
pub struct Postgres {
    folder: TempDir,
    settings: Vec<String>,
    user: Option<(u32, u32)>,
    child: Option<Child>,
    made: Mutex<HashSet<String>>,
}

impl Postgres {
    /// A new server with these settings.
    pub fn start(settings: &[&str]) -> Postgres {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        let user = unprivileged();
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut postgres = Postgres { folder, settings, user, child: None, made: Mutex::default() };
        let made = postgres
            .command(binaries().join("initdb"))
            .args([
                "--username=relay",
                "--auth=trust",
                "--encoding=SQL_ASCII",
                "--locale=C",
                "--no-sync",
                "--pgdata",
            ])
            .arg(postgres.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "initdb");
        postgres.begin();
        postgres
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.folder.path());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Starts the server on what it has, and waits until it answers.
    pub fn begin(&mut self) {
        assert!(self.child.is_none(), "it runs");
        // What a killed server has left behind takes a moment to notice.
        for _ in 0..200 {
            self.child = self.try_begin();
            if self.child.is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("what a killed server has left behind does not end");
    }

    /// `None` while processes of a server before are still there.
    fn try_begin(&self) -> Option<Child> {
        // It ends when its standard input does, so also when this process has ended, and then takes its folder with it.
        let script = r#""$@" & server=$!
            read -r end || gone=yes; kill -s "${end:-INT}" $server; wait $server
            [ -z "$gone" ] || rm -rf "$0""#;
        let mut command = self.command("sh");
        command.args(["-c", script]).arg(self.folder.path()).arg(binaries().join("postgres"));
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let fixed = ["listen_addresses=", "max_connections=300", "unix_socket_permissions=0777"];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {said:?}")).unwrap();
            if line.contains("ready to accept connections") {
                break;
            }
            if line.contains("pre-existing shared memory block") {
                let _ = writeln!(child.stdin.take().unwrap(), "INT");
                child.wait().unwrap();
                return None;
            }
            said.push(line);
        }
        // A full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Some(child)
    }

    /// Ends it with this signal, `KILL` for one that lets nothing be tidied up.
    pub fn end(&mut self, signal: &str) {
        let Some(mut child) = self.child.take() else { return };
        let _ = writeln!(child.stdin.take().unwrap(), "{signal}");
        let _ = child.wait();
    }

    /// The URL of a database of this name.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://relay@localhost/{name}?host={}", self.folder.path().display())
    }

    /// Runs a statement in the database that is always there.
    async fn manage(&self, sql: String) {
        let mut db = sqlx::PgConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    /// Ends the connections to a folder's database, and lets nobody in.
    async fn cut_off(&self, folder: &Path) {
        let name = name_of(folder);
        self.manage(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
        self.manage(format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        ))
        .await;
    }

    /// The database that belongs to this folder, made at the first call.
    pub async fn database(&self, folder: &Path) -> String {
        let name = name_of(folder);
        let known = self.made.lock().unwrap().contains(&name);
        if !known {
            self.manage(format!("CREATE DATABASE {name} TEMPLATE template0")).await;
            self.made.lock().unwrap().insert(name.clone());
        }
        self.url(&name)
    }
}

fn name_of(folder: &Path) -> String {
    let name = format!("d{:x}", Sha256::digest(folder.as_os_str().as_encoded_bytes()));
    name.get(..32).unwrap().to_owned()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end("QUIT");
    }
}

/// PostgreSQL does not run as root: whom it runs as then.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"].into_iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)))
}

/// Where the programs are: `PG_BIN`, which `cargo xtask test` sets, PATH, or where Debian has them.
fn binaries() -> PathBuf {
    let has = |folder: &PathBuf| folder.join("postgres").is_file() && folder.join("initdb").is_file();
    let named = std::env::var_os("PG_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders = named
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(versions.map(|version| version.path().join("bin")));
    folders.find(has).expect(
        "PostgreSQL is not installed: `cargo xtask test` does, or set PG_BIN to the folder of its programs",
    )
}
