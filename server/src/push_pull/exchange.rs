//! Pushes and pulls of one user. Decides what is told to whom when a push was stored, and where a pull starts; what stays
//! and where a page ends is the log's. Called by the endpoints, over HTTP and over a socket.

use crsqlite_sync::wire::{Change, Cursor};

use super::answer::{self, PushResult};
use super::batch::{Says, Sent};
use super::cursor::{PullCursor, is_lost};
use super::query::Query;
use crate::clock::now_ms;
use crate::error::Error;
use crate::log::core::{self, Outcome, Record, Start};
use crate::metrics::RowFate;
use crate::reply::{self, Stored};
use crate::room::{Room, Told};

/// What a client is told of what would need more room than the user has.
const OVER_QUOTA: &str = "over-quota: the user has no room for more";

impl Room {
    /// Stores a batch and tells all connections of the user but `from`. Must run to its end: what is stored is also told.
    pub(super) async fn take_push(&self, from: Option<u64>, batch: Vec<Sent>) -> Result<PushResult, Error> {
        let mut result = PushResult::default();
        let (mut rows, mut row_ids): (Vec<Change>, Vec<String>) = Default::default();
        let (mut records, mut befores): (Vec<Record>, Vec<Option<String>>) = Default::default();
        for Sent { id, before, says } in batch {
            match says {
                Says::Row(row) => {
                    rows.push(row);
                    row_ids.push(id);
                }
                Says::Record(record) => {
                    records.push(record);
                    befores.push(before);
                }
                Says::Nothing(why) => result.refuse(&id, &why),
            }
        }
        let mut told = self.order.lock().await;
        if !rows.is_empty() {
            self.store_rows(&mut told, from, rows, &row_ids, &mut result).await?;
        }
        if !records.is_empty() {
            self.store_records(&mut told, from, &records, &befores, &mut result).await?;
        }
        Ok(result)
    }

    async fn store_rows(
        &self,
        told: &mut Told,
        from: Option<u64>,
        rows: Vec<Change>,
        ids: &[String],
        result: &mut PushResult,
    ) -> Result<(), Error> {
        let now = now_ms();
        let appended =
            self.metrics.append.measure(self.log.append(&self.user.owner, &self.run, &rows)).await?;
        self.catch_up(told, None, &appended.run, appended.base).await;
        told.set(&appended.run, appended.head);
        self.metrics.rows(RowFate::Stored, appended.stored.len());
        self.metrics.rows(RowFate::Rejected, appended.refused.len());
        if !appended.refused.is_empty() {
            self.metrics.limited("max-rows-per-user");
        }
        let dominated = ids.len().saturating_sub(appended.stored.len() + appended.refused.len());
        self.metrics.rows(RowFate::Dominated, dominated);
        for (index, id) in ids.iter().enumerate() {
            // What the log knew or has outgrown is settled as well.
            if appended.refused.contains(&index) {
                result.refuse(id, OVER_QUOTA);
            } else {
                result.accept(id, now);
            }
        }
        let new = appended.stored.iter().filter_map(|&index| rows.get(index).cloned());
        let new: Vec<Change> = (appended.base + 1..)
            .zip(new)
            .map(|(offset, row)| Change { db_version: offset, ..row })
            .collect();
        if !new.is_empty() {
            self.tell_news(from, &new, &[], now);
            let stored = Stored { run: &appended.run, base: appended.base, head: appended.head };
            self.tell_others(from, || reply::news(&self.user, new, stored, now));
        }
        Ok(())
    }

    async fn store_records(
        &self,
        told: &mut Told,
        from: Option<u64>,
        records: &[Record],
        befores: &[Option<String>],
        result: &mut PushResult,
    ) -> Result<(), Error> {
        let now = now_ms();
        let put = self.log.put_records(&self.user.owner, &self.run, records, now);
        let put = self.metrics.append.measure(put).await?;
        self.catch_up(told, None, &put.run, put.base).await;
        told.set(&put.run, put.head);
        if put.outcomes.contains(&Outcome::OverQuota) {
            self.metrics.limited("max-rows-per-user");
        }
        for ((record, before), outcome) in records.iter().zip(befores).zip(&put.outcomes) {
            match outcome {
                Outcome::Accepted { server_timestamp } => result.accept(&record.id, *server_timestamp),
                Outcome::Conflict(stored) => result.conflict(record, before.as_deref(), &stored.record),
                Outcome::OverQuota => result.refuse(&record.id, OVER_QUOTA),
            }
        }
        if !put.stored.is_empty() {
            let new: Vec<&Record> = put.stored.iter().filter_map(|&index| records.get(index)).collect();
            self.tell_news(from, &[], &new, now);
            // Devices of the relay protocol have no use for records, but would find a gap in the offsets.
            let stored = Stored { run: &put.run, base: put.base, head: put.head };
            self.tell_others(from, || reply::news(&self.user, Vec::new(), stored, now));
        }
        Ok(())
    }

    /// The JSON of a page.
    pub(super) async fn pull(&self, query: &Query) -> Result<String, Error> {
        let collections = &query.filter.0;
        let wanted = core::Query {
            collections: (!collections.is_empty()).then(|| collections.iter().cloned().collect()),
            records: true,
            most: query.records,
            budget: self.answer_bytes,
        };
        let start = PullCursor::start(query.cursor.as_deref(), self.user.site_id, &query.filter);
        let mut feed = self.log.feed(&self.user.owner, &start, &wanted).await?;
        let lost = is_lost(&start, feed.base);
        if lost {
            feed = self.log.feed(&self.user.owner, &Start::Offset(0), &wanted).await?;
        }
        let place = Cursor {
            run: feed.clock.run(&self.run).clone(),
            version: feed.current,
            head: feed.more.then_some(feed.clock.head),
        };
        let cursor = PullCursor::new(place, self.user.site_id, &query.filter).to_string();
        Ok(answer::page(&feed.items, &cursor, feed.more, lost, now_ms()))
    }
}
