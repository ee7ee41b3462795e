//! What must hold all along, in the middle of everything: a cursor covers no row that was neither applied nor kept
//! aside, whoever it is a cursor of. Decides nothing; says which row was skipped.

use std::collections::BTreeSet;

use crsqlite_sync::engine::meta::Meta;
use crsqlite_sync::wire::{Change, Cursor, Pk, SENTINEL, SiteId, Value};

use crate::device::{Client, Device};
use crate::peer::fit;
use crate::world::{Relay, World};

/// As many rows as the quarantine holds: beyond it cursors are remembered instead.
const QUARANTINE_ROWS: usize = 10_000;

impl Device {
    /// The replication state in the database.
    pub(crate) fn meta(&self) -> Meta {
        let entries: Vec<(String, String)> = self.disk.db().meta_entries().into_iter().collect();
        Meta::read(&entries)
    }

    fn site(&self) -> SiteId {
        self.disk.db().site()
    }

    fn replicates(&self, table: &str) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.iter().any(|name| name == table))
    }
}

impl World {
    /// Looks at every cursor.
    ///
    /// # Errors
    /// A row that a cursor covers is not there.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let metas: Vec<Option<Meta>> = self
            .devices
            .iter()
            // A transaction of the app or of ours that is open may still be undone, and before a leader has started the
            // clock of a database that crashed is not right yet.
            .map(|device| {
                let ours = matches!(device.client, Client::Ours(_)) && !device.disk.app_is_in_transaction();
                ours.then(|| device.meta()).filter(|meta| meta.run() == device.run.as_ref())
            })
            .collect();
        for (n, (reader, meta)) in self.devices.iter().zip(&metas).enumerate() {
            let Some(meta) = meta else { continue };
            for (site, cursor) in meta.received.iter() {
                let covered = self.covered(*site, cursor, reader, &metas);
                if let Some(missing) = covered.iter().find(|row| !has(reader, row)) {
                    return Err(format!(
                        "d{n} has passed over a row with its cursor {cursor:?} of {site}: {missing:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The rows that whoever holds this cursor of a site will not be sent.
    fn covered(&self, site: SiteId, cursor: &Cursor, reader: &Device, metas: &[Option<Meta>]) -> Vec<Change> {
        if let Relay::Storing(relay) = &self.relay
            && relay.site() == site
        {
            return relay.covered(cursor).into_iter().filter(|row| reader.replicates(&row.table)).collect();
        }
        let mut senders = self.devices.iter().zip(metas).filter(|(device, _)| device.site() == site);
        // Of two live copies each has its own clock.
        let (Some((sender, Some(meta))), None) = (senders.next(), senders.next()) else { return Vec::new() };
        if sender.site() == reader.site() {
            return Vec::new();
        }
        let upto = meta.resolve(Some(cursor));
        let db = sender.disk.db();
        let sent = |table: &str| sender.replicates(table) && reader.replicates(table);
        // With a sentinel to come travel all rows of its key.
        let to_come: BTreeSet<(String, Pk)> = db
            .changes(|table, _, cid, version, _, _| sent(table) && version > upto && cid == SENTINEL)
            .into_iter()
            .map(|row| (row.table, row.pk))
            .collect();
        let mut rows = db.changes(|table, _, _, version, _, _| sent(table) && version <= upto);
        rows.retain(|row| !to_come.contains(&(row.table.clone(), row.pk.clone())));
        rows
    }
}

/// Whether a row changes nothing any more, or is kept aside.
fn has(reader: &Device, row: &Change) -> bool {
    let db = reader.disk.db();
    if let Some(fitted) = fit(db, row)
        && (row.is_sentinel() || db.has_column(&row.table, &row.cid))
    {
        let mut trial = db.clone();
        if trial.merge(&fitted) == Ok(false) {
            return true;
        }
    }
    // A column that is not there yet has nothing to lose where the whole row is gone, or has come anew, since.
    let next = Change {
        cid: SENTINEL.to_owned(),
        val: Value::Null,
        col_version: row.cl + 1,
        cl: row.cl + 1,
        ..row.clone()
    };
    if fit(db, &next).is_some_and(|next| db.clone().merge(&next) == Ok(false)) {
        return true;
    }
    let kept = db.quarantine();
    kept.len() >= QUARANTINE_ROWS
        || kept.iter().filter_map(|kept| Change::from_json(&kept.row).ok()).any(|kept| {
            let newer = kept.cid == row.cid && (kept.cl, kept.col_version) >= (row.cl, row.col_version);
            // The whole row is gone, or has come anew, since.
            let of_later_life = kept.is_sentinel() && kept.cl > row.cl;
            (&kept.table, &kept.pk) == (&row.table, &row.pk) && (newer || of_later_life)
        })
}
