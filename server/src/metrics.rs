//! What the relay counts, in the words of Prometheus. Decides names, labels and buckets; never names a user, a token or
//! a value. Counted by `socket`, `room` and whoever else answers; read at `/metrics`.

use std::fmt::{self, Debug};
use std::future::Future;

use crsqlite_sync::wire::{Body, CloseCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

/// What [`Metrics::text`] is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from a commit on a fast disk to the longest that a device waits for an answer.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

type Label<V> = [(&'static str, V); 1];

/// How many of something there are now; counted while its [`Presence`] lives.
#[derive(Debug)]
pub(crate) struct Presence(Gauge);

impl Presence {
    pub(crate) fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Presence(gauge.clone())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What became of a row that a device sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFate {
    Stored,
    /// The log had it, or a later one.
    Dominated,
    Rejected,
}

/// How long something took, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Timing(Histogram);

impl Timing {
    fn new() -> Self {
        Timing(Histogram::new(SECONDS))
    }

    pub(crate) async fn measure<T>(&self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.0.observe(began.elapsed().as_secs_f64());
        done
    }
}

/// The counters of one relay.
pub(crate) struct Metrics {
    registry: Registry,
    /// WebSocket connections that were let in.
    pub(crate) connections: Gauge,
    /// Users with at least one connection or a message under way.
    pub(crate) users: Gauge,
    /// From the order to store until it is on the disk.
    pub(crate) append: Timing,
    /// From a request until its answer, or one page of it, is queued.
    pub(crate) answer: Timing,
    received: Family<Label<&'static str>, Counter>,
    sent: Family<Label<&'static str>, Counter>,
    received_bytes: Counter,
    sent_bytes: Counter,
    rows: Family<Label<&'static str>, Counter>,
    closes: Family<Label<u16>, Counter>,
    pub(crate) overflows: Counter,
    storage_errors: Counter,
    limited: Family<Label<&'static str>, Counter>,
    http: Family<[(&'static str, String); 2], Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("crsqlite_relay");
        let mut metrics = Metrics {
            connections: Gauge::default(),
            users: Gauge::default(),
            append: Timing::new(),
            answer: Timing::new(),
            received: Family::default(),
            sent: Family::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            rows: Family::default(),
            closes: Family::default(),
            overflows: Counter::default(),
            storage_errors: Counter::default(),
            limited: Family::default(),
            http: Family::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("connections", "WebSocket connections that were let in", m.connections.clone());
        registry.register("users", "Users with a connection or a message under way", m.users.clone());
        registry.register("received_messages", "Messages of devices, by type", m.received.clone());
        registry.register("sent_messages", "Messages queued for devices, by type", m.sent.clone());
        registry.register_with_unit("received", "Of messages", Unit::Bytes, m.received_bytes.clone());
        registry.register_with_unit("sent", "Of messages", Unit::Bytes, m.sent_bytes.clone());
        registry.register("rows", "Rows that devices sent, by what became of them", m.rows.clone());
        let append = "Until rows that a device sent are on the disk";
        registry.register_with_unit("append", append, Unit::Seconds, m.append.0.clone());
        let answer = "Until a page that a device asked for is queued";
        registry.register_with_unit("answer", answer, Unit::Seconds, m.answer.0.clone());
        registry.register("queue_overflows", "Connections that read too slowly", m.overflows.clone());
        registry.register("closes", "Connections that ended, by the close code", m.closes.clone());
        registry.register("storage_errors", "What the storage did not do", m.storage_errors.clone());
        registry.register("limited", "What a limit refused, by limit", m.limited.clone());
        registry.register("http_responses", "Answers over HTTP, by route and status", m.http.clone());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the relay", build);
        metrics.registry = registry;
        metrics
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// A frame that came, and what it was.
    pub(crate) fn received(&self, kind: &'static str, bytes: usize) {
        self.received.get_or_create(&[("type", kind)]).inc();
        self.received_bytes.inc_by(bytes as u64);
    }

    /// A message was queued for this many connections.
    pub(crate) fn sent(&self, kind: &'static str, connections: usize) {
        self.sent.get_or_create(&[("type", kind)]).inc_by(connections as u64);
    }

    pub(crate) fn sent_bytes(&self, bytes: usize) {
        self.sent_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn rows(&self, fate: RowFate, count: usize) {
        let outcome = match fate {
            RowFate::Stored => "stored",
            RowFate::Dominated => "dominated",
            RowFate::Rejected => "rejected",
        };
        self.rows.get_or_create(&[("outcome", outcome)]).inc_by(count as u64);
    }

    pub(crate) fn closed(&self, code: CloseCode) {
        self.closes.get_or_create(&[("code", code.0)]).inc();
    }

    pub(crate) fn storage_failed(&self) {
        self.storage_errors.inc();
    }

    /// A limit refused something; `limit` is the name of its option.
    pub(crate) fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&[("limit", limit)]).inc();
    }

    /// `route` is one of the router's.
    pub(crate) fn answered(&self, route: &str, status: u16) {
        let labels = [("route", route.to_owned()), ("status", status.to_string())];
        self.http.get_or_create(&labels).inc();
    }
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// The `type` of a message.
pub(crate) fn kind(body: &Body) -> &'static str {
    match body {
        Body::Request(_) => "sync_request",
        Body::Response(_) => "sync_response",
        Body::Push(_) => "sync_push",
        Body::Ack(_) => "sync_ack",
        Body::Error(_) => "sync_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_stands_in_the_text_under_one_prefix_and_with_its_unit() {
        let metrics = Metrics::new();
        let presence = Presence::of(&metrics.connections);
        metrics.received("sync_push", 10);
        metrics.received("sync_push", 5);
        metrics.rows(RowFate::Stored, 3);
        metrics.closed(CloseCode::TRY_AGAIN_LATER);
        metrics.append.measure(tokio::time::sleep(std::time::Duration::from_millis(20))).await;
        let text = metrics.text();
        for line in [
            "crsqlite_relay_connections 1",
            r#"crsqlite_relay_received_messages_total{type="sync_push"} 2"#,
            "crsqlite_relay_received_bytes_total 15",
            r#"crsqlite_relay_rows_total{outcome="stored"} 3"#,
            r#"crsqlite_relay_closes_total{code="1013"} 1"#,
            r#"crsqlite_relay_append_seconds_bucket{le="0.01"} 0"#,
            r#"crsqlite_relay_append_seconds_bucket{le="0.025"} 1"#,
            &format!(r#"crsqlite_relay_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")),
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        drop(presence);
        assert!(metrics.text().contains("crsqlite_relay_connections 0"));
    }
}
