-- Format 1 of the relay's schema in PostgreSQL. What users have named or written is `bytea`: `text` cannot hold every
-- character that they may use, and depends on the database's encoding. Indexes hold digests, for an index has no room for
-- a long key.

CREATE TABLE crsqlite_relay.format (version int NOT NULL);
INSERT INTO crsqlite_relay.format (version) VALUES (0);

-- Random bytes that belong to these logs.
CREATE TABLE crsqlite_relay.secret (
  name text PRIMARY KEY,
  value bytea NOT NULL
);

-- One row per owner; `head` is the highest offset ever given, whatever compaction took away since; `rows` counts the
-- entries and the records. Whoever writes to a log holds the lock of its row.
CREATE TABLE crsqlite_relay.log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name bytea NOT NULL UNIQUE,       -- a digest of namespace and sub
  namespace bytea NOT NULL,
  sub bytea NOT NULL,
  head bigint NOT NULL,
  rows bigint NOT NULL
) WITH (fillfactor = 70);           -- the head changes often, and then the new version of the row stays on its page

-- The servers that wrote to a log, in order; `begins` is the head when each wrote first.
CREATE TABLE crsqlite_relay.run (
  log bigint NOT NULL REFERENCES crsqlite_relay.log (id),
  number bigint NOT NULL,
  run text NOT NULL,
  begins bigint NOT NULL,
  PRIMARY KEY (log, number)
);

-- The live entries; `place` is the offset.
CREATE TABLE crsqlite_relay.entry (
  log bigint NOT NULL REFERENCES crsqlite_relay.log (id),
  place bigint NOT NULL,
  col_version bigint NOT NULL,
  cl bigint NOT NULL,
  seq bigint NOT NULL,
  key bytea NOT NULL,               -- half a digest of tbl and pk, which are compared themselves, too
  site_id bytea NOT NULL,
  tbl bytea NOT NULL,
  pk bytea NOT NULL,
  cid bytea NOT NULL,
  digest text,                      -- of a long value; compaction compares it instead of the value
  val bytea NOT NULL,               -- the JSON of the messages, which keeps every storage class exactly
  PRIMARY KEY (log, place)
);
CREATE INDEX entry_of_row ON crsqlite_relay.entry (log, key);

-- The newest record about each thing; `place` is the offset, of the same sequence as those of the entries.
CREATE TABLE crsqlite_relay.record (
  log bigint NOT NULL REFERENCES crsqlite_relay.log (id),
  place bigint NOT NULL,
  made_at bigint NOT NULL,          -- the timestamp in milliseconds
  server_timestamp bigint NOT NULL,
  key bytea NOT NULL,               -- a digest of collection and record_id
  kind text NOT NULL,
  collection bytea NOT NULL,
  record_id bytea NOT NULL,         -- JSON: a string or a number
  id bytea NOT NULL,
  timestamp bytea NOT NULL,         -- as the device wrote it
  data bytea NOT NULL,              -- JSON
  PRIMARY KEY (log, key),
  UNIQUE (log, place)
);

-- The records that were accepted last: a repeated id gets the same answer.
CREATE TABLE crsqlite_relay.accepted (
  log bigint NOT NULL REFERENCES crsqlite_relay.log (id),
  place bigint NOT NULL,
  server_timestamp bigint NOT NULL,
  key bytea NOT NULL,               -- a digest of the id
  PRIMARY KEY (log, place)
);
CREATE INDEX accepted_by_key ON crsqlite_relay.accepted (log, key);

-- What was written and not yet told to the other servers. Its row comes with the commit; whoever wrote it tells and takes
-- it away, and where that server is gone, the others find it. Nothing is lost with it: whoever has reconnected looks
-- everywhere.
CREATE UNLOGGED TABLE crsqlite_relay.untold (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name bytea NOT NULL,              -- of the log
  since timestamptz NOT NULL DEFAULT clock_timestamp()
);
