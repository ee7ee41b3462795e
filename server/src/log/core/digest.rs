//! What a log holds, added up so that a device can compare, and what devices have stated of the values, which a log does
//! not order. Decides which tables differ, and when the devices are to be made to state their sums anew.
//! Fed by the logs entry by entry, in the order of rows.

use std::collections::{BTreeMap, VecDeque};

use crsqlite_sync::wire::{Pk, Run, SiteId, TableDigest, Value};

use super::clock::Clock;

/// The statements of so many devices are remembered, the latest.
const WITNESSES: usize = 16;

/// A log with more tables than this, or with more bytes in their names, is not compared: the sums are kept in memory.
const MOST_TABLES: usize = 4_096;
const MOST_NAME_BYTES: usize = 1 << 20;

/// The sums of each table of a log.
pub type Sums = BTreeMap<String, TableDigest>;

/// Whether these are the sums of all tables, or there were too many.
#[must_use]
pub fn is_whole(sums: &Sums) -> bool {
    sums.len() <= MOST_TABLES && sums.keys().map(String::len).sum::<usize>() <= MOST_NAME_BYTES
}

/// Adds up a log. Entries of one row come together.
#[derive(Debug, Default)]
pub struct Counter {
    sums: Sums,
    /// The bytes of the tables' names.
    names: usize,
    row: Option<Row>,
}

#[derive(Debug)]
struct Row {
    table: String,
    pk: Pk,
    cl: i64,
    /// One of each column, however many values are tied.
    columns: BTreeMap<String, i64>,
}

impl Counter {
    /// Takes the next entry. All entries of a row have one causal length, and those of a column one version.
    pub fn add(&mut self, table: &str, pk: &Pk, cid: &str, col_version: i64, cl: i64) {
        if self.row.as_ref().is_none_or(|row| row.table != table || row.pk != *pk) {
            self.end_row();
            self.row = Some(Row { table: table.to_owned(), pk: pk.clone(), cl, columns: BTreeMap::new() });
        }
        if let Some(row) = self.row.as_mut().filter(|_| cid != crsqlite_sync::wire::SENTINEL) {
            row.columns.insert(cid.to_owned(), col_version);
        }
    }

    fn end_row(&mut self) {
        let Some(row) = self.row.take() else { return };
        let columns = row.columns.iter().map(|(cid, version)| (cid.as_str(), *version, &Value::Null));
        if self.sums.len() > MOST_TABLES || self.names > MOST_NAME_BYTES {
            return;
        }
        if !self.sums.contains_key(&row.table) {
            self.names = self.names.saturating_add(row.table.len());
        }
        self.sums.entry(row.table.clone()).or_default().add_row(&row.table, &row.pk, row.cl, columns);
    }

    /// The sums, not [whole](is_whole) if there are too many; of the values only who knows the columns' affinities can tell.
    #[must_use]
    pub fn finish(mut self) -> Sums {
        self.end_row();
        self.sums
    }
}

/// What comparing a device's statement gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// The tables that the device stated and that differ.
    pub differ: Vec<String>,
    /// Tables of which devices stated different values, the first time at this place: all are to state theirs anew.
    pub doubted: Vec<String>,
}

/// Remembers what devices stated of the values at one place of the log.
#[derive(Debug, Default)]
pub struct Witness {
    place: Option<(Run, i64)>,
    /// What each device stated last of tables that the log has; who spoke last comes last.
    heard: VecDeque<(Option<SiteId>, BTreeMap<String, u64>)>,
    told: bool,
}

impl Witness {
    /// Like [`Witness::compare_from`] where nobody says who states it: what was stated before may be another's.
    pub fn compare(
        &mut self,
        run: &Run,
        clock: &Clock,
        own: &Sums,
        stated: &[(String, TableDigest)],
    ) -> Verdict {
        self.compare_from(None, run, clock, own, stated)
    }

    /// Compares a device's statement at the head of this clock with the log's own sums, and with what others stated.
    pub fn compare_from(
        &mut self,
        site: Option<SiteId>,
        run: &Run,
        clock: &Clock,
        own: &Sums,
        stated: &[(String, TableDigest)],
    ) -> Verdict {
        let place = (clock.run(run).clone(), clock.head);
        if self.place.as_ref() != Some(&place) {
            *self = Witness { place: Some(place), ..Witness::default() };
        }
        let before = self.heard.iter().position(|(other, _)| *other == site);
        let mut heard =
            before.and_then(|at| self.heard.get(at)).map_or_else(BTreeMap::new, |(_, of)| of.clone());
        let mut verdict = Verdict::default();
        for (table, theirs) in stated {
            let ours = own.get(table).copied().unwrap_or_default();
            let clocks_differ = (ours.entries, ours.clocks) != (theirs.entries, theirs.clocks);
            let values_differ = self.heard.iter().any(|(other, of)| {
                (site.is_none() || *other != site)
                    && of.get(table).is_some_and(|values| *values != theirs.values)
            });
            if clocks_differ || values_differ {
                verdict.differ.push(table.clone());
            }
            if values_differ && !clocks_differ {
                verdict.doubted.push(table.clone());
            }
            // A table that lacks rows is no witness of values, nor is one that the log does not know.
            if !clocks_differ && own.contains_key(table) {
                heard.insert(table.clone(), theirs.values);
            }
        }
        if let Some(before) = before {
            self.heard.remove(before);
        }
        if !heard.is_empty() {
            self.heard.push_back((site, heard));
        }
        if self.heard.len() > WITNESSES {
            self.heard.pop_front();
        }
        if self.told {
            verdict.doubted.clear();
        }
        self.told |= !verdict.doubted.is_empty();
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_run() -> Run {
        Run::from_random(1)
    }

    fn sums(clocks: u64, values: u64) -> TableDigest {
        TableDigest { entries: 1, clocks, values }
    }

    fn log(clocks: u64) -> Sums {
        Sums::from([("t".to_owned(), sums(clocks, 0))])
    }

    fn compare(
        witness: &mut Witness,
        (site, head): (u8, i64),
        stated: &[(&str, TableDigest)],
    ) -> (Vec<String>, Vec<String>) {
        let clock = Clock { head, ..Clock::default() };
        let stated: Vec<_> = stated.iter().map(|(table, sums)| ((*table).to_owned(), *sums)).collect();
        let verdict = witness.compare_from(Some(SiteId([site; 16])), &own_run(), &clock, &log(7), &stated);
        (verdict.differ, verdict.doubted)
    }

    fn none() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_table_differs_when_its_clocks_do_and_one_that_the_log_does_not_have_is_empty() {
        let mut witness = Witness::default();
        assert_eq!(compare(&mut witness, (1, 1), &[("t", sums(7, 1))]), (none(), none()));
        assert_eq!(compare(&mut witness, (1, 1), &[("t", sums(8, 1))]), (vec!["t".to_owned()], none()));
        assert_eq!(compare(&mut witness, (1, 1), &[("u", TableDigest::default())]), (none(), none()));
        assert_eq!(compare(&mut witness, (1, 1), &[("u", sums(0, 0))]), (vec!["u".to_owned()], none()));
        assert_eq!(
            compare(&mut witness, (1, 1), &[]),
            (none(), none()),
            "what is not stated is not compared"
        );
    }

    #[test]
    fn values_that_differ_at_one_place_are_told_to_all_once() {
        let mut witness = Witness::default();
        let both = vec!["t".to_owned()];
        assert_eq!(compare(&mut witness, (1, 1), &[("t", sums(7, 1))]), (none(), none()));
        assert_eq!(compare(&mut witness, (2, 1), &[("t", sums(7, 2))]), (both.clone(), both.clone()));
        assert_eq!(
            compare(&mut witness, (2, 1), &[("t", sums(7, 2))]),
            (both.clone(), none()),
            "still another's"
        );
        assert_eq!(compare(&mut witness, (1, 1), &[("t", sums(7, 1))]), (both.clone(), none()));
        assert_eq!(
            compare(&mut witness, (1, 1), &[("t", sums(7, 2))]),
            (none(), none()),
            "what each said last"
        );
        assert_eq!(compare(&mut witness, (2, 1), &[("t", sums(7, 2))]), (none(), none()));
        assert_eq!(compare(&mut witness, (1, 2), &[("t", sums(7, 3))]), (none(), none()), "another place");
        assert_eq!(compare(&mut witness, (2, 2), &[("t", sums(7, 1))]), (both.clone(), both));
    }

    #[test]
    fn what_is_remembered_does_not_grow_with_names_or_devices() {
        let mut witness = Witness::default();
        for site in 0..100 {
            let invented = format!("u{site}");
            compare(&mut witness, (site, 1), &[("t", sums(7, 1)), (&invented, TableDigest::default())]);
        }
        assert_eq!(witness.heard.len(), WITNESSES);
        assert!(witness.heard.iter().all(|(_, of)| of.keys().eq(["t"])));
    }

    #[test]
    fn nobody_knows_that_a_statement_without_a_sender_repeats_the_one_before() {
        let mut witness = Witness::default();
        let mut state = |values| {
            let clock = Clock { head: 1, ..Clock::default() };
            witness.compare(&own_run(), &clock, &log(7), &[("t".to_owned(), sums(7, values))]).differ
        };
        assert_eq!((state(1), state(2), state(2)), (none(), vec!["t".to_owned()], none()));
    }

    #[test]
    fn a_device_that_lacks_rows_is_no_witness_of_values() {
        let mut witness = Witness::default();
        compare(&mut witness, (1, 1), &[("t", sums(8, 1))]);
        assert_eq!(compare(&mut witness, (2, 1), &[("t", sums(7, 2))]), (none(), none()));
    }

    #[test]
    fn of_a_log_with_too_many_tables_it_is_only_known_that_they_are_too_many() {
        let pk = Pk::pack(&[Value::Integer(1)]).unwrap();
        let sums = |tables: usize, length: usize| {
            let mut counter = Counter::default();
            for table in 0..tables {
                counter.add(&format!("{table:0length$}"), &pk, "a", 1, 1);
            }
            counter.finish()
        };
        assert!(is_whole(&sums(MOST_TABLES, 9)));
        let many = sums(MOST_TABLES * 3, 9);
        assert!(!is_whole(&many) && many.len() == MOST_TABLES + 1);
        let long = sums(100, 60_000);
        assert!(!is_whole(&long) && long.len() < 30);
    }

    #[test]
    fn tied_values_and_sentinels_count_once() {
        let pk = Pk::pack(&[Value::Integer(1)]).unwrap();
        let count = |entries: &[(&str, i64, i64)]| {
            let mut counter = Counter::default();
            for (cid, col_version, cl) in entries {
                counter.add("t", &pk, cid, *col_version, *cl);
            }
            counter.finish().remove("t").unwrap()
        };
        let plain = count(&[("a", 1, 1)]);
        assert_eq!((plain.entries, plain), (2, count(&[("a", 1, 1), ("a", 1, 1), ("-1", 1, 1)])));
        assert_ne!(plain.clocks, count(&[("a", 1, 3)]).clocks);
        assert_eq!(count(&[("-1", 2, 2)]).entries, 1);
    }
}
