-- A database that a relay of format 1 has left behind.
PRAGMA application_id = 1668445042;
PRAGMA user_version = 1;
PRAGMA foreign_keys = OFF;
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
INSERT INTO "entry" VALUES(1,2,'t',X'010B016B','b',1,1,0,X'09090909090909090909090909090909','#10a9270a01f7334f95712ee341cefe458d56e59e817f4f15f4e3e4834d4b42a9','"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"');
INSERT INTO "entry" VALUES(1,4,'t',X'010B016B','a',2,1,0,X'09090909090909090909090909090909',NULL,'"two"');
INSERT INTO "entry" VALUES(1,5,'t',X'010B016C','-1',2,2,0,X'09090909090909090909090909090909',NULL,'null');
INSERT INTO "entry" VALUES(2,1,'t',X'010B016B','a',1,1,0,X'09090909090909090909090909090909',NULL,'5');
CREATE TABLE log (
  id INTEGER PRIMARY KEY,
  sub TEXT NOT NULL UNIQUE,
  head INTEGER NOT NULL
) STRICT;
INSERT INTO "log" VALUES(1,'alice',5);
INSERT INTO "log" VALUES(2,'bob',1);
CREATE TABLE run (
  log INTEGER NOT NULL REFERENCES log (id),
  number INTEGER NOT NULL,
  run TEXT NOT NULL,
  begins INTEGER NOT NULL,
  PRIMARY KEY (log, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "run" VALUES(1,1,'e6bc968185bf2470',0);
INSERT INTO "run" VALUES(2,1,'e6bc968185bf2470',0);
CREATE TABLE secret (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;
INSERT INTO "secret" VALUES('log',X'D21F839C6CB6C88372EF12AC807F3EDC1C86379782A425605E09FD59F5ED4BD5');
CREATE INDEX entry_of_row ON entry (log, tbl, pk);
