//! What was measured, in tables for people and as values under names for `cargo xtask bench`. Decides names and units;
//! measures nothing. Written by `main`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Scale;
use crate::appends::{Appends, Grown};
use crate::scenarios::{Flow, Idle, Storm};

/// One server.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) server: &'static str,
    pub(crate) idle: Option<Idle>,
    /// One user: one device writes, the others listen. A round beside a round of each other server.
    pub(crate) one_to_many: Vec<Flow>,
    /// The same at 50 messages a second, where nothing waits in line.
    pub(crate) one_to_many_paced: Option<Flow>,
    /// Many users with three devices each, as fast as each gets through.
    pub(crate) many_users: Option<Flow>,
    /// The same at one message a second of each user.
    pub(crate) many_users_paced: Option<Flow>,
    pub(crate) storm: Option<Storm>,
}

/// What one kind of storage takes.
#[derive(Debug, Serialize)]
pub(crate) struct Stored {
    pub(crate) storage: &'static str,
    pub(crate) users: u32,
    /// Changes of each push.
    pub(crate) width: i64,
    #[serde(flatten)]
    pub(crate) appends: Appends,
}

#[derive(Debug, Serialize)]
pub(crate) struct Details {
    /// The relay that stores, the same without a store, and a broadcast loop in Node.
    pub(crate) servers: Vec<Measured>,
    /// The relay that stores, by the number of devices that listen.
    pub(crate) listeners: Vec<(u32, Flow)>,
    pub(crate) stored: Vec<Stored>,
    pub(crate) growth: Vec<Grown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// A number for each round.
    values: BTreeMap<String, Vec<f64>>,
    details: Details,
}

impl Report {
    pub(crate) fn new(details: Details) -> Self {
        let mut values = BTreeMap::new();
        if let [storing, plain, node] = details.servers.as_slice() {
            let beside = |ours: &Measured, of: fn(&Flow) -> f64| -> Vec<f64> {
                ours.one_to_many
                    .iter()
                    .zip(&node.one_to_many)
                    .map(|(ours, node)| of(ours) / of(node))
                    .collect()
            };
            let speed = |flow: &Flow| flow.deliveries_per_second;
            let cost = |flow: &Flow| flow.processor_us_each;
            values.insert("relay_fanout_vs_ws".to_owned(), beside(storing, speed));
            values.insert("relay_fanout_vs_ws_plain".to_owned(), beside(plain, speed));
            values.insert("relay_fanout_processor_vs_ws".to_owned(), beside(storing, cost));
            if let Some(idle) = &storing.idle {
                values.insert("relay_idle_connections".to_owned(), vec![f64::from(idle.connections)]);
                values.insert("relay_bytes_per_connection".to_owned(), vec![idle.bytes_each as f64]);
            }
        }
        for (count, flow) in &details.listeners {
            values.insert(format!("relay_delivery_us_{count}"), vec![flow.processor_us_each]);
        }
        for Stored { storage, users, width, appends } in &details.stored {
            let who = if *users == 1 { "one" } else { "many" };
            let (what, speed) = if *width == 1 {
                ("pushes", appends.pushes_per_second)
            } else {
                ("changes", appends.changes_per_second)
            };
            values.insert(format!("relay_{what}_per_second_{storage}_{who}"), vec![speed]);
        }
        if let (Some(small), Some(large)) = (details.growth.first(), details.growth.last()) {
            values.insert("relay_append_growth".to_owned(), vec![large.append_ms / small.append_ms]);
            values.insert("relay_answer_growth".to_owned(), vec![large.answer_ms / small.answer_ms]);
        }
        Report { values, details }
    }

    /// Tables in Markdown.
    pub(crate) fn tables(&self, scale: &Scale) -> String {
        let Details { servers, listeners, stored, growth } = &self.details;
        let mut text = beside(servers, scale);
        text += "\n| times of the broadcast loop, by round | median |\n|---|---|\n";
        for key in ["relay_fanout_vs_ws", "relay_fanout_vs_ws_plain", "relay_fanout_processor_vs_ws"] {
            if let Some(rounds) = self.values.get(key) {
                let each: Vec<String> = rounds.iter().map(|ratio| format!("{ratio:.2}")).collect();
                text += &format!("| {key}: {} | {:.2} |\n", each.join(", "), median(rounds.clone()));
            }
        }
        text += "\n| devices that listen | messages | processor for each delivery |\n|---|---|---|\n";
        for (count, flow) in listeners {
            let Flow { sent_per_second, processor_us_each, .. } = flow;
            text += &format!("| {count} | {sent_per_second:.0}/s | {processor_us_each:.1} µs |\n");
        }
        text += "\n| appends | pushes | changes | processor for each change |\n|---|---|---|---|\n";
        for Stored { storage, users, width, appends } in stored {
            let Appends { pushes_per_second, changes_per_second, processor_us_each } = appends;
            text += &format!(
                "| {storage}, users: {users}, changes of a push: {width} | {pushes_per_second:.0}/s | \
                 {changes_per_second:.0}/s | {processor_us_each:.1} µs |\n"
            );
        }
        text += "\n| entries of the log | one more push | the last page |\n|---|---|---|\n";
        for Grown { entries, append_ms, answer_ms } in growth {
            text += &format!("| {entries} | {append_ms:.2} ms | {answer_ms:.2} ms |\n");
        }
        text
    }
}

pub(crate) fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A column for each server.
fn beside(servers: &[Measured], scale: &Scale) -> String {
    type Cell = Box<dyn Fn(&Measured) -> Option<String>>;
    let Scale { sockets, listeners, users, clients, devices, .. } = scale;
    let middle = |m: &Measured| {
        let speed = median(m.one_to_many.iter().map(|flow| flow.deliveries_per_second).collect());
        m.one_to_many.iter().find(|flow| flow.deliveries_per_second.total_cmp(&speed).is_eq()).cloned()
    };
    type Of = fn(&Measured) -> Option<Flow>;
    let speed = |of: Of| -> Cell {
        Box::new(move |m| {
            let Flow { sent_per_second, deliveries_per_second, .. } = of(m)?;
            Some(format!("{sent_per_second:.0}/s, {deliveries_per_second:.0} deliveries/s"))
        })
    };
    let latency = |of: Of| -> Cell {
        Box::new(move |m| of(m).map(|flow| format!("{:.1} / {:.1} ms", flow.p50_ms, flow.p99_ms)))
    };
    let cost = |of: Of| -> Cell {
        Box::new(move |m| of(m).map(|flow| format!("{:.1} µs", flow.processor_us_each)))
    };
    let rows: Vec<(String, Cell)> = vec![
        (
            format!("{sockets} idle connections: memory of each"),
            Box::new(|m| m.idle.as_ref().map(|idle| format!("{:.1} kB", idle.bytes_each as f64 / 1e3))),
        ),
        (
            "– processor".to_owned(),
            Box::new(|m| m.idle.as_ref().map(|idle| format!("{:.1} % of a core", idle.processor_percent))),
        ),
        (format!("one writer to {listeners} devices, full speed"), speed(middle)),
        ("– p50 / p99".to_owned(), latency(middle)),
        ("– processor for each delivery".to_owned(), cost(middle)),
        ("the same, 50 messages a second: p50 / p99".to_owned(), latency(|m| m.one_to_many_paced.clone())),
        (format!("{users} users with {devices} devices, full speed"), speed(|m| m.many_users.clone())),
        ("– p50 / p99".to_owned(), latency(|m| m.many_users.clone())),
        (
            "the same, one message a second of each user: p50 / p99".to_owned(),
            latency(|m| m.many_users_paced.clone()),
        ),
        (
            format!("{clients} clients at once: all are served after"),
            Box::new(|m| m.storm.as_ref().map(|storm| format!("{:.0} ms", storm.all_in_ms))),
        ),
        (
            "– p50 / p99".to_owned(),
            Box::new(|m| {
                m.storm.as_ref().map(|storm| format!("{:.0} / {:.0} ms", storm.p50_ms, storm.p99_ms))
            }),
        ),
    ];
    let line = |name: &str, cells: Vec<String>| format!("| {name} | {} |\n", cells.join(" | "));
    let names = servers.iter().map(|m| m.server.to_owned()).collect();
    let mut text = line("", names) + &"|---".repeat(servers.len() + 1) + "|\n";
    for (name, cell) in rows {
        text += &line(&name, servers.iter().map(|m| cell(m).unwrap_or_else(|| "–".to_owned())).collect());
    }
    text
}
