-- Format 1 of the relay's database, which `format-2.sql` follows.

-- Random bytes that belong to these logs.
CREATE TABLE secret (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;

-- One row per user; `head` is the highest offset ever given, whatever compaction took away since.
CREATE TABLE log (
  id INTEGER PRIMARY KEY,
  sub TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL
) STRICT;

-- The servers that wrote to a log, in order; `begins` is the head when each wrote first.
CREATE TABLE run (
  log INTEGER NOT NULL REFERENCES log (id),
  number INTEGER NOT NULL,
  run TEXT NOT NULL,
  begins INTEGER NOT NULL,
  PRIMARY KEY (log, number)
) STRICT, WITHOUT ROWID;

-- The live entries; `place` is the offset. The value is last so that the other columns are read without it.
CREATE TABLE entry (
  log INTEGER NOT NULL REFERENCES log (id),
  place INTEGER NOT NULL,
  tbl TEXT NOT NULL,
  pk BLOB NOT NULL,
  cid TEXT NOT NULL,
  col_version INTEGER NOT NULL,
  cl INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  site_id BLOB NOT NULL,
  digest TEXT,        -- of a long value; compaction compares it instead of the value
  val TEXT NOT NULL,  -- the JSON of the messages, which keeps every storage class exactly
  UNIQUE (log, place)
) STRICT;
CREATE INDEX entry_of_row ON entry (log, tbl, pk);
