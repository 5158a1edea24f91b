-- Telemetry: what was sampled beside the production events, in batches that are encoded once. Its seq are of
-- the same numbers as those of events, so that one order and one set of acknowledged ranges holds for both.
CREATE TABLE telemetry (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL, -- of the table [telemetry.NAME]
    at_ms INTEGER NOT NULL, -- of its first frame
    seen_ms INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL,
    boot INTEGER NOT NULL REFERENCES boot (id),
    station TEXT NOT NULL, -- empty where it belongs to none
    context INTEGER NOT NULL REFERENCES context (id),
    thinned INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL -- JSON: {"frames": [{"at": milliseconds, "values": {name: value}}]}
) STRICT;
