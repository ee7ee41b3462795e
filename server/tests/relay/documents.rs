//! The page for those who run the relay, against the relay: no option and no metric is missing there.

use crate::support::{Relay, column};
use clap::CommandFactory as _;
use crsqlite_relay::config::Cli;
use serde_json::json;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

#[test]
fn the_readme_knows_every_option() {
    let (readme, command) = (readme(), Cli::command());
    for name in command.get_arguments().filter_map(|option| option.get_long()) {
        let stands = ["help", "version"].contains(&name)
            || ["`", " "].iter().any(|end| readme.contains(&format!("`--{name}{end}")));
        assert!(stands, "--{name} does not stand in server/README.md");
    }
}

#[tokio::test]
async fn the_readme_knows_every_metric() {
    let readme = readme();
    let directory = tempfile::tempdir().unwrap();
    let relay = Relay::start(directory.path(), &["--max-connections-per-user", "1"]).await;
    // What has not happened yet is not told.
    let mut device = relay.device("alice", 1).await;
    device.push(&[column("k", "a", 1, json!(1), 1)]).await;
    relay.device("alice", 2).await.closed().await;
    relay.http("GET", "/ready", "").await;
    let (_, _, text) = relay.http("GET", "/metrics", "").await;
    let mut count = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(readme.contains(&format!("`{name}")), "{name} does not stand in server/README.md");
        count += 1;
    }
    assert!(count > 10, "{text}");
    drop(device);
    relay.stop().await;
}
