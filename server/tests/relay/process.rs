//! The command as a process: what survives a kill, how it ends at a signal, what it prints.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{Device, SECRET, column, http_with, token, values};
use serde_json::json;

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crsqlite-relay"));
    command
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A running relay, ended with the test.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Process {
        let mut command = command(directory);
        // A pipe that nobody reads would stop it.
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim_end().strip_prefix("listening on http://").expect("the address").parse().unwrap();
        Process { child, address }
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn device(&self, sub: &str) -> Device {
        let cookie = format!("auth_token={}", token(sub, 600));
        Device::connect(self.address, &[("Cookie", &cookie)], 1).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory).args(arguments).output().unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_its_offsets_count_on() {
    let directory = tempfile::tempdir().unwrap();
    let secret = ["--jwt-secret", SECRET];
    let mut offset = 0;
    for round in 0..4 {
        let mut relay = Process::start(directory.path(), &secret);
        let mut device = relay.device("alice").await;
        let ack = device.push(&[column(&format!("k{round}"), "a", 1, json!(round), round)]).await;
        relay.kill();
        offset += 1;
        assert_eq!(ack["relay"]["version"], offset);
    }
    let relay = Process::start(directory.path(), &secret);
    let answer = relay.device("alice").await.ask(json!({})).await;
    assert_eq!(values(&answer), [0, 1, 2, 3].map(|n| json!(n)));
    assert_eq!(answer["head"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_end_tells_connections_to_come_back_and_exits_with_success() {
    let directory = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut relay = Process::start(directory.path(), &["--jwt-secret", SECRET]);
        let mut device = relay.device("alice").await;
        device.expect_nothing().await;
        let pid = relay.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let (code, reason) = device.closed().await;
        assert_eq!((code, reason.as_str()), (1013, "restarting; retryAfter=5"));
        let child = &mut relay.child;
        let status = tokio::task::block_in_place(|| child.wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn tokens_of_the_development_mode_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let made = run(directory.path(), &["token", "--sub", "alice", "--dev"]);
    let cookie = format!("auth_token={}", String::from_utf8(made.stdout).unwrap().trim_end());
    for _ in 0..2 {
        let relay = Process::start(directory.path(), &["--dev"]);
        Device::connect(relay.address, &[("Cookie", &cookie)], 1).await.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_printed_token_is_one_that_is_let_in_or_none_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let rules = ["--dev", "--namespace-claim", "app", "--jwt-issuer", "us", "--jwt-audience", "sync"];
    let made =
        run(directory.path(), &[&["token", "--sub", "alice", "--namespace", "notes"], &rules[..]].concat());
    let cookie = format!("auth_token={}", String::from_utf8(made.stdout).unwrap().trim_end());
    let relay = Process::start(directory.path(), &rules);
    let path = "/notes/api/v1/sync";
    Device::connect_to(relay.address, path, &[("Cookie", &cookie)], 1).await.expect_nothing().await;
    for bad in [&["--sub", "alice"][..], &["--sub", "", "--namespace", "notes"]] {
        let refused = run(directory.path(), &[&["token"], bad, &rules[..]].concat());
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{bad:?}");
        assert!(String::from_utf8(refused.stderr).unwrap().contains("bad-user"));
    }
}

#[test]
fn without_a_secret_the_relay_does_not_start_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["--listen", "127.0.0.1:0"]);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no-secret") && text.contains("--jwt-secret-file"), "{text}");
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    std::fs::write(
        &path,
        "this is not even a database, but long enough to look like a header of one ".repeat(20),
    )
    .unwrap();
    let output = run(directory.path(), &["--dev", "--listen", "127.0.0.1:0", "--database", "app.db"]);
    assert!(!output.status.success());
}

#[tokio::test]
async fn no_token_no_name_and_no_text_of_a_user_stands_in_the_log() {
    const NAME: &str = "alice.the.user@example.org";
    for format in ["text", "json"] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(directory.path());
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--jwt-secret",
            SECRET,
            "--log-format",
            format,
            "--log",
            "trace",
        ]);
        let log = directory.path().join("log");
        let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
        let relay = Process { child, address };
        let token = token(NAME, 600);
        let cookie = format!("auth_token={token}");
        let mut device = Device::connect(relay.address, &[("Cookie", &cookie)], 1).await;
        device.push(&[column("k", "a", 1, json!("the text of a user"), 1)]).await;
        Device::connect(relay.address, &[("Cookie", &format!("{cookie}x"))], 1).await.closed().await;
        for good in [true, false] {
            let bearer = format!("Bearer {token}{}", if good { "" } else { "x" });
            let headers = [("Authorization", bearer.as_str())];
            let mut device = Device::connect(relay.address, &headers, 2).await;
            if good {
                device.expect_nothing().await
            } else {
                drop(device.closed().await)
            }
            let headers = [headers[0], ("Content-Type", "application/json")];
            let status =
                http_with(relay.address, "POST", "/sync/push", &headers, r#"{"changes":[]}"#).await.0;
            assert_eq!(status, if good { 200 } else { 401 });
            let mut socket = Device::connect_to(relay.address, "/sync/ws", &[], 3).await;
            let auth = json!({ "type": "auth", "payload": { "Authorization": bearer } });
            socket.send_text(auth.to_string()).await;
            socket
                .send_text(r#"{"type":"pull","requestId":"r","payload":{"cursor":"the text of a user"}}"#)
                .await;
            if good { drop(socket.expect("pull_result").await) } else { drop(socket.closed().await) }
        }
        drop(relay);
        let log = std::fs::read_to_string(log).unwrap();
        let entered: Vec<&str> = log.lines().filter(|line| line.contains("user")).collect();
        assert!(!entered.is_empty(), "connections are told apart: {log}");
        if format == "json" {
            for line in log.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
        for secret in [token.as_str(), token.rsplit('.').next().unwrap(), SECRET, "the text of a user", NAME]
        {
            assert!(!log.contains(secret), "{secret}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_files_may_be_open_as_the_system_allows_and_too_few_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "ulimit -Sn 300 && ulimit -Hn 500 && exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_crsqlite-relay"),
    ]);
    shell
        .args(["--listen", "127.0.0.1:0", "--dev", "--max-connections", "1000"])
        .current_dir(directory.path());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
    let mut child = shell.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["500", "500"]);
    let log = std::fs::read_to_string(log).unwrap();
    for told in ["more connections are allowed", "wanted=1378", "ulimit", "--max-connections"] {
        assert!(log.contains(told), "{told}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_relay_at_once_and_what_was_acknowledged_stays() {
    let directory = tempfile::tempdir().unwrap();
    let secret = ["--jwt-secret", SECRET, "--drain-time", "1h", "--shutdown-timeout", "1h"];
    let mut relay = Process::start(directory.path(), &secret);
    let mut devices = Vec::new();
    for _ in 0..2 {
        devices.push(relay.device("alice").await);
    }
    devices[0].push(&[column("k", "a", 1, json!("acknowledged"), 1)]).await;
    let pid = relay.child.id().to_string();
    let terminate = || assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    terminate();
    // One is closed. The other does not listen, so its close frame is waited for.
    assert_eq!(devices[0].closed().await.0, 1013);
    terminate();
    let child = &mut relay.child;
    let status = tokio::task::block_in_place(|| child.wait().unwrap());
    assert!(!status.success(), "{status}");
    let relay = Process::start(directory.path(), &secret);
    let answer = relay.device("alice").await.ask(json!({})).await;
    assert_eq!(values(&answer), [json!("acknowledged")]);
}

#[tokio::test]
async fn the_environment_overrules_the_file_and_both_are_shown_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = format!(
        "listen = '127.0.0.1:0'\ndatabase = 'other.db'\nqueue-messages = 5\njwt-secret = '{SECRET}'\n"
    );
    std::fs::write(directory.path().join("relay.toml"), file).unwrap();
    let mut show = command(directory.path());
    show.env("CRSQLITE_RELAY_CONFIG", "relay.toml").env("CRSQLITE_RELAY_QUEUE_MESSAGES", "6").arg("config");
    let output = show.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("queue-messages = 6  # environment\n"), "{text}");
    assert!(text.contains("database = \"other.db\"  # file\n"), "{text}");
    assert!(!text.contains(SECRET), "{text}");

    let relay = Process::start(directory.path(), &["--config", "relay.toml"]);
    relay.device("alice").await.expect_nothing().await;
    assert!(directory.path().join("other.db").exists());

    std::fs::write(directory.path().join("relay.toml"), "lisen = '127.0.0.1:0'\n").unwrap();
    let output = run(directory.path(), &["--config", "relay.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("is it listen?"));
}

#[tokio::test]
async fn the_command_ready_asks_the_relay_that_runs() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Process::start(directory.path(), &["--dev"]);
    let address = relay.address.to_string();
    assert!(run(directory.path(), &["ready", "--listen", &address]).status.success());
    drop(relay);
    let output = run(directory.path(), &["ready", "--listen", &address]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("not-ready"));
}
