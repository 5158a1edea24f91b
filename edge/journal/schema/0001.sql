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
    attribution INTEGER NOT NULL DEFAULT 1,
    data BLOB NOT NULL
) STRICT;

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
