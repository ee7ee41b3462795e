//! Compaction by row: which entries of a row stay when others arrive. Decides by causal length and column version
//! alone and never orders values: a relay does not know column affinities, so it keeps every value of a tie.
//! Used by the logs in the transaction that appends (a later one would hide offsets that were already seen).

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crsqlite_sync::rules::{self, Rule};
use crsqlite_sync::wire::{Change, Pk, SENTINEL, Value};

/// The entries of one row, in bytes, and how many there may be. A row is read and told as a whole, whatever else is cut, so
/// who could make one of any size could fill a relay's memory with it. A single entry may be larger.
const MOST_ROW_BYTES: usize = 16 << 20;
const MOST_ROW_ENTRIES: usize = 4_096;

/// A stored entry of a row that incoming changes touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub offset: i64,
    pub table: String,
    pub pk: Pk,
    pub cid: String,
    pub col_version: i64,
    pub cl: i64,
    /// Names the value: two entries have equal names only if the values are bitwise equal. See [`exact`].
    pub value: String,
    /// About how many bytes the value has.
    pub size: usize,
}

/// What an append does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Offsets of the entries that go.
    pub delete: Vec<i64>,
    /// Indices of the incoming changes that come, in their order; each takes the next offset.
    pub insert: Vec<usize>,
    /// Indices of the incoming changes that would come if the user, or the row, had room for them.
    pub refuse: Vec<usize>,
}

/// The plainest name of a value: its JSON text, which keeps storage classes and bits apart.
#[must_use]
pub fn exact(value: &Value) -> String {
    value.to_json()
}

/// Plans the arrival of `incoming` at a log that holds `existing`: all entries of every row that is touched.
///
/// Per row, with M the highest causal length among both: entries below M go. M even: one sentinel stays. M odd: one
/// sentinel if there is one, and per column the entries of the highest column version, at a tie every distinct value.
/// Of equals the earliest stays, so that what is known is never numbered again. Site, version and seq take no part.
pub fn compact(existing: &[Entry], incoming: &[Change], name: impl Fn(&Value) -> String) -> Plan {
    compact_within(None, existing, incoming, name)
}

/// Like [`compact`], where the log may grow by `room` entries only. A row that would make it grow by more, or that would grow
/// beyond what one row may have, is refused as a whole; one that does not grow always arrives.
pub fn compact_within(
    room: Option<u64>,
    existing: &[Entry],
    incoming: &[Change],
    name: impl Fn(&Value) -> String,
) -> Plan {
    let mut rows: HashMap<(&str, &Pk), Vec<Candidate<'_>>> = HashMap::new();
    for entry in existing {
        rows.entry((&entry.table, &entry.pk)).or_default().push(Candidate {
            from: From::Log(entry.offset, &entry.value),
            cid: &entry.cid,
            col_version: entry.col_version,
            cl: entry.cl,
            size: entry.size,
        });
    }
    for (index, change) in incoming.iter().enumerate().filter(|(_, change)| change.cl > 0) {
        rows.entry((&change.table, &change.pk)).or_default().push(Candidate {
            from: From::Message(index, &change.val),
            cid: &change.cid,
            col_version: change.col_version,
            cl: change.cl,
            size: change.val.wire_size(),
        });
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    // Who comes first is served first.
    rows.sort_unstable_by_key(|row| row.iter().find_map(|candidate| candidate.from.index()));
    let (mut stays, mut refused, mut left) = (HashSet::new(), HashSet::new(), room);
    for row in rows {
        let (mut surviving, before) =
            (HashSet::new(), row.iter().filter(|c| c.from.index().is_none()).count());
        survivors(&row, &name, &mut surviving);
        let growth = u64::try_from(surviving.len().saturating_sub(before)).unwrap_or(u64::MAX);
        if growth > 0 && left.is_some_and(|left| growth > left) || is_too_large(&row, &surviving) {
            let (mut old, mut new): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
            row.iter().for_each(|c| {
                if c.from.index().is_none() { old.push(c.from.id()) } else { new.push(c.from.id()) }
            });
            stays.extend(old);
            refused.extend(new.into_iter().filter(|id| surviving.contains(id)));
        } else {
            let shrinkage = u64::try_from(before.saturating_sub(surviving.len())).unwrap_or(0);
            left = left.map(|left| (left - growth).saturating_add(shrinkage));
            stays.extend(surviving);
        }
    }
    let among = |ids: &HashSet<Id>| {
        (0..incoming.len()).filter(|index| ids.contains(&Id::Index(*index))).collect::<Vec<_>>()
    };
    Plan {
        delete: existing
            .iter()
            .map(|entry| entry.offset)
            .filter(|offset| !stays.contains(&Id::Offset(*offset)))
            .collect(),
        insert: among(&stays),
        refuse: among(&refused),
    }
}

/// Whether a row grows beyond what one may have.
fn is_too_large(row: &[Candidate<'_>], surviving: &HashSet<Id>) -> bool {
    let bytes = |stays: &dyn Fn(&Candidate<'_>) -> bool| -> usize {
        row.iter().filter(|c| stays(c)).map(|c| c.cid.len().saturating_add(c.size)).sum()
    };
    let was_there = |c: &Candidate<'_>| c.from.index().is_none();
    let (entries, entries_before) = (surviving.len(), row.iter().filter(|c| was_there(c)).count());
    if entries > MOST_ROW_ENTRIES && entries > entries_before {
        return true;
    }
    let after = bytes(&|c| surviving.contains(&c.from.id()));
    entries > 1 && after > MOST_ROW_BYTES && after > bytes(&was_there)
}

#[derive(Clone, Copy)]
enum From<'a> {
    Log(i64, &'a str),
    Message(usize, &'a Value),
}

#[derive(PartialEq, Eq, Hash)]
enum Id {
    Offset(i64),
    Index(usize),
}

impl From<'_> {
    fn id(self) -> Id {
        match self {
            From::Log(offset, _) => Id::Offset(offset),
            From::Message(index, _) => Id::Index(index),
        }
    }

    /// Of what arrives.
    fn index(self) -> Option<usize> {
        match self {
            From::Log(..) => None,
            From::Message(index, _) => Some(index),
        }
    }
}

#[derive(Clone, Copy)]
struct Candidate<'a> {
    from: From<'a>,
    cid: &'a str,
    col_version: i64,
    cl: i64,
    size: usize,
}

/// Adds what stays of one row; `row` has the log's entries first, then the message's in their order.
fn survivors(row: &[Candidate<'_>], name: &impl Fn(&Value) -> String, stays: &mut HashSet<Id>) {
    let Some(cl) = row.iter().map(|candidate| candidate.cl).max() else { return };
    let mut columns: HashMap<&str, Vec<&Candidate<'_>>> = HashMap::new();
    let by_row = rules::holds(Rule::CompactByRow);
    for candidate in row.iter().filter(|candidate| candidate.cl == cl || !by_row) {
        let tied = columns.entry(candidate.cid).or_default();
        match tied.first().map(|first| candidate.col_version.cmp(&first.col_version)) {
            Some(std::cmp::Ordering::Less) => {}
            Some(std::cmp::Ordering::Greater) => *tied = vec![candidate],
            Some(std::cmp::Ordering::Equal) | None => tied.push(candidate),
        }
    }
    for (cid, tied) in columns {
        if cid == SENTINEL {
            stays.extend(tied.first().map(|first| first.from.id()));
        } else if cl % 2 == 1 || !by_row {
            let most = if rules::holds(Rule::KeepTies) { usize::MAX } else { 1 };
            stays.extend(distinct(&tied, name).into_iter().take(most));
        }
    }
}

fn distinct(tied: &[&Candidate<'_>], name: &impl Fn(&Value) -> String) -> Vec<Id> {
    if let [only] = tied {
        return vec![only.from.id()];
    }
    let mut seen = HashSet::new();
    let named = |from| match from {
        From::Log(_, value) => value.to_owned(),
        From::Message(_, value) => name(value),
    };
    tied.iter().map(|one| one.from).filter(|from| seen.insert(named(*from))).map(From::id).collect()
}

#[cfg(test)]
mod tests {
    use crsqlite_sync::wire::SiteId;

    use super::*;

    fn change(cid: &str, cl: i64, col_version: i64, val: Value) -> Change {
        Change {
            table: "t".into(),
            pk: Pk::pack(&[Value::Integer(1)]).unwrap(),
            cid: cid.into(),
            val,
            col_version,
            db_version: 9,
            site_id: SiteId([7; 16]),
            cl,
            seq: 0,
        }
    }

    fn sentinel(cl: i64) -> Change {
        change(SENTINEL, cl, cl, Value::Null)
    }

    fn int(n: i64) -> Value {
        Value::Integer(n)
    }

    /// Entries 1, 2, … of the given changes.
    fn stored(changes: &[Change]) -> Vec<Entry> {
        let entry = |(change, offset): (&Change, i64)| Entry {
            offset,
            table: change.table.clone(),
            pk: change.pk.clone(),
            cid: change.cid.clone(),
            col_version: change.col_version,
            cl: change.cl,
            value: exact(&change.val),
            size: change.val.wire_size(),
        };
        changes.iter().zip(1..).map(entry).collect()
    }

    #[track_caller]
    fn check(existing: &[Change], incoming: &[Change], delete: &[i64], insert: &[usize]) {
        let plan = compact(&stored(existing), incoming, exact);
        assert_eq!(plan, Plan { delete: delete.to_vec(), insert: insert.to_vec(), refuse: vec![] });
    }

    #[test]
    fn a_newer_column_takes_the_place_of_the_older_one() {
        check(&[change("a", 1, 1, int(1))], &[change("a", 1, 2, int(2))], &[1], &[0]);
        check(&[change("a", 1, 2, int(2))], &[change("a", 1, 1, int(1))], &[], &[]);
    }

    #[test]
    fn at_a_tie_every_distinct_value_stays_and_equal_ones_stay_once() {
        let (one, two) = (change("a", 1, 1, int(1)), change("a", 1, 1, int(2)));
        check(std::slice::from_ref(&one), &[two.clone(), one.clone(), two.clone()], &[], &[0]);
        check(&[], &[one.clone(), one.clone()], &[], &[0]);
        check(&[one, two], &[change("a", 1, 2, int(0))], &[1, 2], &[0]);
    }

    #[test]
    fn values_are_compared_bit_by_bit_and_never_across_storage_classes() {
        let tie = [
            int(5),
            Value::Real(5.0),
            Value::Text("5".into()),
            Value::Blob(b"5".to_vec()),
            Value::Real(-0.0),
        ];
        let changes: Vec<Change> = tie.into_iter().map(|val| change("a", 1, 1, val)).collect();
        check(&[], &changes, &[], &[0, 1, 2, 3, 4]);
        check(&changes, &[change("a", 1, 1, Value::Real(0.0))], &[], &[0]);
    }

    #[test]
    fn a_deletion_leaves_one_sentinel_of_the_row() {
        let row = [change("a", 1, 1, int(1)), change("b", 1, 4, int(1)), sentinel(1)];
        check(&row, &[sentinel(2), sentinel(2)], &[1, 2, 3], &[0]);
        check(&[sentinel(2)], &row, &[], &[]);
    }

    #[test]
    fn a_resurrection_takes_the_tombstone_away_and_keeps_its_sentinel_and_columns() {
        check(
            &[sentinel(2)],
            &[sentinel(3), change("a", 3, 1, int(1)), change("a", 1, 9, int(9))],
            &[1],
            &[0, 1],
        );
        // A column may come before the sentinel, or without it.
        check(&[sentinel(2)], &[change("a", 3, 1, int(1))], &[1], &[0]);
        check(&[change("a", 3, 1, int(1))], &[sentinel(3)], &[], &[0]);
    }

    #[test]
    fn a_column_that_a_resurrection_zeroed_stays_with_version_zero() {
        check(&[sentinel(3)], &[change("a", 3, 0, int(1))], &[], &[0]);
    }

    #[test]
    fn a_row_without_a_causal_length_is_dominated() {
        check(&[], &[change("a", 0, 1, int(1))], &[], &[]);
    }

    #[test]
    fn rows_of_other_keys_and_tables_do_not_touch_each_other() {
        let mut other = change("a", 1, 1, int(1));
        other.table = "u".into();
        let mut key = change("a", 1, 1, int(1));
        key.pk = Pk::pack(&[Value::Text("1".into())]).unwrap();
        check(&[change("a", 1, 1, int(1)), other, key], &[sentinel(2)], &[1], &[0]);
    }

    #[test]
    fn who_wrote_it_and_when_takes_no_part() {
        let mut again = change("a", 1, 1, int(1));
        (again.site_id, again.db_version, again.seq) = (SiteId([1; 16]), 77, 5);
        check(&[change("a", 1, 1, int(1))], &[again], &[], &[]);
    }

    #[test]
    fn a_log_without_room_takes_what_does_not_make_it_grow() {
        let of = |key: i64, cid: &str, cl: i64| Change {
            pk: Pk::pack(&[int(key)]).unwrap(),
            ..change(cid, cl, if cid == SENTINEL { cl } else { 2 }, Value::Null)
        };
        let there = stored(&[of(1, "a", 1), of(1, "b", 1)]);
        // A new row of two, another column of an old row, a newer value, and a deletion that makes room for one.
        let arrive = [of(2, "a", 1), of(2, "b", 1), of(3, "a", 1), of(1, SENTINEL, 2), of(4, "a", 1)];
        let plan = compact_within(Some(1), &there, &arrive, exact);
        assert_eq!((plan.delete, plan.insert, plan.refuse), (vec![1, 2], vec![2, 3, 4], vec![0, 1]));
        let plan = compact_within(Some(0), &there, &[of(1, "c", 1)], exact);
        assert_eq!((plan.delete, plan.insert, plan.refuse), (vec![], vec![], vec![0]));
        let newer = Change { col_version: 3, ..of(1, "a", 1) };
        let plan = compact_within(Some(0), &there, &[newer.clone(), newer], exact);
        assert_eq!((plan.delete, plan.insert, plan.refuse), (vec![1], vec![0], vec![]));
    }
    #[test]
    fn a_row_grows_only_so_far_but_one_entry_of_any_size_and_a_smaller_row_always_arrive() {
        let text =
            |cid: &str, col_version, bytes| change(cid, 1, col_version, Value::Text("x".repeat(bytes)));
        let half = MOST_ROW_BYTES / 2;
        let plan = compact(&[], &[text("a", 1, half), text("b", 1, half), int_of("c")], exact);
        assert_eq!((plan.insert, plan.refuse), (vec![], vec![0, 1, 2]), "as a whole");
        let there = stored(&[text("a", 1, half)]);
        assert_eq!(compact(&there, &[text("b", 1, half)], exact).refuse, [0]);
        assert_eq!(
            compact(&there, &[text("a", 1, 1), text("b", 1, half)], exact).refuse,
            [0, 1],
            "nor a tie"
        );
        assert_eq!(compact(&there, &[text("a", 2, 1), text("b", 1, half)], exact).insert, [0, 1]);
        assert_eq!(compact(&[], &[text("a", 1, 3 * half)], exact).insert, [0], "what is one message");
        let grown = stored(&[text("a", 1, half), text("b", 1, half + 1)]);
        assert_eq!(
            compact(&grown, &[text("b", 2, half)], exact).insert,
            [0],
            "from before there was a bound"
        );
        assert_eq!(compact(&grown, &[sentinel(2)], exact).delete, [1, 2]);

        let wide: Vec<Change> = (0..MOST_ROW_ENTRIES).map(|n| int_of(&format!("c{n}"))).collect();
        assert_eq!(compact(&[], &wide, exact).insert.len(), MOST_ROW_ENTRIES);
        let there = stored(&wide);
        assert_eq!(compact(&there, &[int_of("one more")], exact).refuse, [0]);
        assert_eq!(compact(&there, &[change("c7", 1, 2, int(8))], exact).insert, [0]);
    }

    fn int_of(cid: &str) -> Change {
        change(cid, 1, 1, int(7))
    }
}
