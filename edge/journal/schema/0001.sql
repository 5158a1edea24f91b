-- What happened, append-only. Times are UTC milliseconds; (boot, mono_ms) and seq give the order.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    stamp TEXT NOT NULL, -- whose clock at_ms comes from: source or receipt
    seen_ms INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL,
    boot INTEGER NOT NULL REFERENCES boot (id),
    station TEXT NOT NULL,
    context INTEGER NOT NULL REFERENCES context (id),
    data BLOB NOT NULL
) STRICT;

-- A correction asks for a station's events by time.
CREATE INDEX event_at ON event (station, at_ms);

-- Events whose parts were given to another owner: the newest version. The event itself stays as it is.
CREATE TABLE attribution (
    seq INTEGER PRIMARY KEY REFERENCES event (seq),
    version INTEGER NOT NULL,
    context INTEGER NOT NULL REFERENCES context (id)
) STRICT;

-- Which events tell of a lot or of a serial number.
CREATE TABLE mention (
    subject TEXT NOT NULL, -- lot/NAME, unit/NAME
    seq INTEGER NOT NULL REFERENCES event (seq),
    PRIMARY KEY (subject, seq)
) STRICT, WITHOUT ROWID;

-- Stored once each, referred to by every event made under it.
CREATE TABLE context (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE boot (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- What is so now: the core's rows, replaced whole, in the same transaction as their events.
CREATE TABLE state (key TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- What a sink's far end has acknowledged: disjoint ranges of seq, both ends included.
CREATE TABLE progress (
    sink TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (sink, first)
) STRICT, WITHOUT ROWID;

-- Events that a far end will never take, with its reason.
CREATE TABLE rejected (
    sink TEXT NOT NULL,
    seq INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (sink, seq)
) STRICT, WITHOUT ROWID;

-- Observations that the core could not decide: kept whole, they changed nothing.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    seen_ms INTEGER NOT NULL,
    observation BLOB NOT NULL,
    error TEXT NOT NULL
) STRICT;

-- A new one at every start of the agent: an id is epoch and seq, and a seq that was lost with the end
-- of a file (a torn disk, a restored copy) comes again under another epoch.
CREATE TABLE epoch (first_seq INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
