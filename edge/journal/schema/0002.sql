-- Telemetry: what was sampled beside the production events, in batches that are encoded once. Its seq are of
-- the same numbers as those of events, so that one order and one set of acknowledged ranges holds for both.
CREATE TABLE telemetry (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL, -- of the table [telemetry.NAME]
    at_ms INTEGER NOT NULL, -- of its first frame
    stamp TEXT NOT NULL DEFAULT 'receipt', -- whose clock its frames' times come from: source or receipt
    seen_ms INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL,
    boot INTEGER NOT NULL REFERENCES boot (id),
    station TEXT NOT NULL, -- empty where it belongs to none
    context INTEGER NOT NULL REFERENCES context (id),
    thinned INTEGER NOT NULL DEFAULT 0,
    shift_ms INTEGER NOT NULL DEFAULT 0, -- to be added to the times of its frames: they were estimated
    body BLOB NOT NULL -- zlib of JSON: see `pack` and `unpack` in edge/batches.py
) STRICT;

-- What far ends have acknowledged lately: one that is killed may have forgotten it, and gets it again.
CREATE TABLE recent (
    sink TEXT NOT NULL,
    at_ms INTEGER NOT NULL, -- the monotonic clock of the boot, the begin of a short span
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    boot TEXT NOT NULL,
    begun_ms INTEGER NOT NULL, -- when it was acknowledged for the first time, by the same clock
    long INTEGER NOT NULL, -- 1: kept for longer, in longer spans, where the far end keeps marks
    PRIMARY KEY (sink, long, at_ms, begun_ms, first)
) STRICT, WITHOUT ROWID;

-- Far ends that keep marks: since when, without a break, one was found there.
CREATE TABLE marked (
    sink TEXT PRIMARY KEY,
    since_ms INTEGER NOT NULL, -- UTC
    mono_ms INTEGER NOT NULL, -- the monotonic clock of the boot
    boot TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a mark is signed with: the ids of events are known to all who read them.
CREATE TABLE secret (one INTEGER PRIMARY KEY CHECK (one = 1), value BLOB NOT NULL) STRICT;
INSERT INTO secret (one, value) VALUES (1, randomblob(32));

-- How many records a far end was never given and never will be: they were no longer kept, or dropped by a person.
CREATE TABLE skipped (sink TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Batches that can still be thinned, for when room is short.
CREATE INDEX telemetry_whole ON telemetry (seq) WHERE thinned = 0;

-- With an event that is no longer kept goes what tells of it.
CREATE INDEX mention_of ON mention (seq);
CREATE INDEX rejected_of ON rejected (seq);

-- What time it was when the age of what is kept was last looked at: a clock that jumps must not drop anything.
CREATE TABLE calendar (one INTEGER PRIMARY KEY CHECK (one = 1), now_ms INTEGER NOT NULL) STRICT;

-- From which seq on nothing may go out yet: the clock is in doubt.
CREATE TABLE held (one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER NOT NULL) STRICT;

-- Events whose times were estimated while the clock was in doubt, and have been corrected: as committed.
CREATE TABLE restamped (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    data BLOB -- NULL where it holds no time
) STRICT;

CREATE TRIGGER restamped_gone AFTER DELETE ON event BEGIN
    DELETE FROM restamped WHERE seq = old.seq;
END;

-- The loss ledger finds what it is made of.
INSERT OR IGNORE INTO mention (subject, seq)
SELECT 'loss', seq FROM event WHERE type IN ('gap', 'health')
    OR type = 'count' AND CAST(data AS TEXT) ->> '$.quality' IN ('baseline', 'reset', 'uncertain', 'implausible');
