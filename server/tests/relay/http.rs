//! What is served besides the socket: health, the development login, files.

use crate::support::{Device, Relay};
use serde_json::{Value, json};

#[tokio::test]
async fn health_says_ok() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &[]).await;
    let (status, head, body) = relay.http("GET", "/health", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["status"], "ok");
}

/// Whether the system lets so many wait.
#[cfg(target_os = "linux")]
fn may_wait(count: usize) -> bool {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    most.trim().parse::<usize>().unwrap() > count
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_may_come_before_the_first_is_answered() {
    use crate::support::PATIENCE;
    use clap::Parser as _;
    use crsqlite_relay::Server;
    use crsqlite_relay::config::Cli;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    const COMING: usize = 1_000;
    if !may_wait(COMING) {
        println!("not tried: this system lets fewer wait");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("relay.db");
    let arguments =
        ["crsqlite-relay", "--dev", "--listen", "127.0.0.1:0", "--database", database.to_str().unwrap()];
    // It listens, and takes nobody yet.
    let server = Server::bind(Cli::parse_from(arguments).config).await.unwrap();
    let come = async {
        let mut waiting = Vec::new();
        for _ in 0..COMING {
            waiting.push(TcpStream::connect(server.address()).await.unwrap());
        }
        waiting.len()
    };
    assert_eq!(timeout(PATIENCE, come).await, Ok(COMING));
}

#[tokio::test]
async fn the_development_login_does_not_exist_without_dev() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    std::fs::create_dir(&files).unwrap();
    for arguments in [vec![], vec!["--static", files.to_str().unwrap()]] {
        let relay = Relay::start(directory.path(), &arguments).await;
        assert_eq!(relay.http("GET", "/dev/login?user=alice", "").await.0, 404);
        let (status, head, _) = relay.http("POST", "/dev/login", r#"{"user":"alice"}"#).await;
        assert!([404, 405].contains(&status) && !head.contains("set-cookie"));
        relay.stop().await;
    }
}

#[tokio::test]
async fn the_development_login_sets_a_cookie_that_opens_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--dev"]).await;
    for (method, path, body) in
        [("POST", "/dev/login", r#"{"user":"alice"}"#), ("GET", "/dev/login?user=alice", "")]
    {
        let (status, head, _) = relay.http(method, path, body).await;
        assert_eq!(status, 200);
        let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
            assert!(line.contains(attribute), "{line}");
        }
        let (cookie, _) = line.split_once(';').unwrap();
        Device::connect(relay.address, &[("Cookie", cookie)], 1).await.expect_nothing().await;
    }
    let (status, head, _) = relay.http("POST", "/dev/logout", "").await;
    assert_eq!(status, 204);
    assert!(head.contains("Max-Age=0"));
    for bad in [json!({ "user": "" }), json!({ "user": "a".repeat(256) })] {
        assert_eq!(relay.http("POST", "/dev/login", &bad.to_string()).await.0, 400);
    }
}

#[tokio::test]
async fn files_are_served_with_their_types_and_nothing_outside_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(directory.path().join("outside.txt"), "outside").unwrap();
    for (name, text) in [("index.html", "<h1>demo</h1>"), ("a.wasm", "wasm"), ("b.mjs", "mjs")] {
        std::fs::write(files.join(name), text).unwrap();
    }
    let relay = Relay::start(directory.path(), &["--static", files.to_str().unwrap()]).await;
    for (path, kind, text) in [
        ("/", "text/html", "<h1>demo</h1>"),
        ("/a.wasm", "application/wasm", "wasm"),
        ("/b.mjs", "application/javascript", "mjs"),
    ] {
        let (status, head, body) = relay.http("GET", path, "").await;
        assert_eq!((status, body.as_str()), (200, text), "{path}");
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
    for path in [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/a/../../outside.txt",
        "/%5c..%5coutside.txt",
    ] {
        let (status, _, body) = relay.http("GET", path, "").await;
        assert!(status >= 400 && !body.contains("outside"), "{path}: {status}");
    }
}
