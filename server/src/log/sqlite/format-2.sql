-- Format 2: logs belong to a user of an application, and hold records of the push-pull contract beside rows.

-- One row per owner; `head` is the highest offset ever given, whatever compaction took away since; `rows` counts the
-- entries and the records.
CREATE TABLE log_2 (
  id INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  sub TEXT NOT NULL,
  head INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  UNIQUE (namespace, sub)
) STRICT;
INSERT INTO log_2 (id, namespace, sub, head, rows)
  SELECT id, '', sub, head, (SELECT count(*) FROM entry WHERE entry.log = log.id) FROM log;
DROP TABLE log;
ALTER TABLE log_2 RENAME TO log;

-- The newest record about each thing; `place` is the offset, of the same sequence as those of the entries.
CREATE TABLE record (
  log INTEGER NOT NULL REFERENCES log (id),
  place INTEGER NOT NULL,
  collection TEXT NOT NULL,
  record_id TEXT NOT NULL,          -- JSON: a string or a number
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  timestamp TEXT NOT NULL,          -- as the device wrote it
  made_at INTEGER NOT NULL,         -- the same in milliseconds
  server_timestamp INTEGER NOT NULL,
  data TEXT NOT NULL,               -- JSON
  UNIQUE (log, place),
  UNIQUE (log, collection, record_id)
) STRICT;

-- The records that were accepted last: a repeated id gets the same answer.
CREATE TABLE accepted (
  log INTEGER NOT NULL REFERENCES log (id),
  place INTEGER NOT NULL,
  id TEXT NOT NULL,
  server_timestamp INTEGER NOT NULL,
  PRIMARY KEY (log, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX accepted_by_id ON accepted (log, id);
