-- name: append_event
INSERT INTO event (seq, type, at_ms, stamp, seen_ms, mono_ms, boot, station, context, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_context
INSERT INTO context (body) VALUES (?) ON CONFLICT (body) DO UPDATE SET body = excluded.body RETURNING id;

-- name: add_boot
INSERT INTO boot (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id;

-- name: put_row
INSERT INTO state (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body;

-- name: get_row
SELECT body FROM state WHERE key = ?;

-- name: rows_with_prefix
SELECT key, body FROM state WHERE key BETWEEN ?1 AND ?1 || char(1114111) ORDER BY key;

-- name: head
-- Also where the newest records are no longer kept: an epoch begins after the newest of its time.
SELECT max(
    (SELECT coalesce(max(seq), 0) FROM event),
    (SELECT coalesce(max(seq), 0) FROM telemetry),
    (SELECT coalesce(max(first_seq), 1) - 1 FROM epoch)
);

-- name: events_between
SELECT
    (SELECT name FROM epoch WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1),
    event.seq, event.type, event.at_ms, event.stamp, event.seen_ms, event.station, context.body,
    coalesce(attribution.version, 1), event.data
FROM event
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE event.seq BETWEEN ? AND ? ORDER BY event.seq LIMIT ?;

-- name: add_mention
INSERT OR IGNORE INTO mention (subject, seq) VALUES (?, ?);

-- name: choose_window
-- What happened at a station in a span of event time, of the types that move with their parts.
INSERT INTO temp.chosen (seq, context)
SELECT event.seq, coalesce(attribution.context, event.context)
FROM event INDEXED BY event_at LEFT JOIN attribution ON attribution.seq = event.seq
WHERE event.station = ?1 AND event.at_ms >= ?2 AND event.at_ms < ?3 AND event.type IN (SELECT type FROM temp.moved)
    AND (?5 OR NOT (event.type = 'adjustment'
        OR event.type = 'material' AND CAST(event.data AS TEXT) ->> '$.use' = 'backflush'))
LIMIT ?4;

-- name: count_chosen
SELECT count(*) FROM temp.chosen;

-- name: choose_since
-- What was seen at a station since an instant of a boot's monotonic clock. It is sought from the newest
-- event back, to one that was seen ten seconds before it: events are decided nearly in that order.
-- By event_at it would read all that ever happened at the station.
INSERT INTO temp.chosen (seq, context)
SELECT event.seq, coalesce(attribution.context, event.context)
FROM event NOT INDEXED LEFT JOIN attribution ON attribution.seq = event.seq
WHERE event.seq > coalesce((
        SELECT seq FROM event
        WHERE boot <> (SELECT id FROM boot WHERE name = ?2) OR mono_ms < ?3 - 10000
        ORDER BY seq DESC LIMIT 1
    ), 0)
    AND event.station = ?1 AND event.mono_ms >= ?3 AND event.type IN (SELECT type FROM temp.moved);

-- name: forget_chosen
DELETE FROM temp.chosen;

-- name: read_chosen
SELECT chosen.context, event.type, event.at_ms, event.data
FROM temp.chosen CROSS JOIN event ON event.seq = chosen.seq ORDER BY chosen.seq;

-- name: get_context
SELECT body FROM context WHERE id = ?;

-- name: forget_moves
DELETE FROM temp.move;

-- name: add_move
INSERT OR REPLACE INTO temp.move (source, target, version, batch) VALUES (?, ?, ?, ?);

-- name: move_chosen
-- All moves of a view at once: a window over many runs would be read as often as there are runs.
INSERT INTO attribution (seq, version, context)
SELECT chosen.seq, move.version, move.target FROM temp.chosen JOIN temp.move ON move.source = chosen.context
WHERE true
ON CONFLICT (seq) DO UPDATE SET version = excluded.version, context = excluded.context;

-- name: moved_chosen
-- Asked apart: RETURNING would hold them all in memory before it gives the first.
SELECT chosen.seq FROM temp.chosen CROSS JOIN temp.move ON move.source = chosen.context ORDER BY chosen.seq;

-- name: mention_batches
-- What was moved to another batch tells of that batch too. CROSS keeps the order: SQLite takes the events
-- of all times for the shorter table.
INSERT OR IGNORE INTO mention (subject, seq)
SELECT move.batch, chosen.seq FROM temp.chosen CROSS JOIN temp.move ON move.source = chosen.context
CROSS JOIN event ON event.seq = chosen.seq
WHERE move.batch IS NOT NULL AND event.type IN ('unit', 'test', 'material');

-- name: all_progress
SELECT sink, first, last FROM progress ORDER BY sink, first;

-- name: facts_between
SELECT
    (SELECT name FROM epoch WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1),
    event.seq, event.type, event.at_ms, event.seen_ms, event.mono_ms, boot.name, event.station, context.body,
    event.data
FROM event JOIN context ON context.id = event.context JOIN boot ON boot.id = event.boot
WHERE event.seq BETWEEN ? AND ? ORDER BY event.seq LIMIT ?;

-- name: begin_epoch
INSERT INTO epoch (first_seq, name) VALUES (?, ?) ON CONFLICT (first_seq) DO UPDATE SET name = excluded.name;

-- name: get_progress
SELECT first, last FROM progress WHERE sink = ? ORDER BY first;

-- name: drop_progress
DELETE FROM progress WHERE sink = ? AND first = ?;

-- name: add_progress
INSERT INTO progress (sink, first, last) VALUES (?, ?, ?);

-- name: reject
INSERT OR REPLACE INTO rejected (sink, seq, reason) VALUES (?, ?, ?);

-- name: count_rejected
SELECT sink, count(*) FROM rejected GROUP BY sink;

-- name: quarantine
INSERT INTO quarantine (seen_ms, observation, error) VALUES (?, ?, ?);

-- name: count_quarantined
SELECT count(*) FROM quarantine;

-- name: mentions
SELECT EXISTS (SELECT 1 FROM mention WHERE subject = ?);

-- name: subjects_from
-- Names that stand in alphabetical order from one on: each is sought on its own, whatever it is told of.
WITH RECURSIVE name (subject) AS (
    SELECT min(subject) FROM mention WHERE subject >= ?1 AND subject < ?2
    UNION ALL
    SELECT (SELECT min(subject) FROM mention WHERE subject > name.subject AND subject < ?2)
    FROM name WHERE name.subject IS NOT NULL
)
SELECT subject FROM name WHERE subject IS NOT NULL LIMIT ?3;

-- name: events_about
SELECT
    (SELECT name FROM epoch WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1),
    event.seq, event.type, event.at_ms, event.stamp, event.seen_ms, event.station, context.body,
    coalesce(attribution.version, 1), event.data
FROM mention JOIN event ON event.seq = mention.seq
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE mention.subject = ?1 AND (?2 IS NULL OR event.type = ?2) ORDER BY event.seq LIMIT ?3;

-- name: uses_of_lot
-- In which runs a lot was used, how often and how much.
SELECT context.body ->> '$.run' AS run, CAST(event.data AS TEXT) ->> '$.material', ?2,
    CAST(event.data AS TEXT) ->> '$.use', count(*), sum(coalesce(CAST(event.data AS TEXT) ->> '$.quantity', 0))
FROM mention JOIN event ON event.seq = mention.seq
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE mention.subject = ?1 AND event.type = 'material' AND CAST(event.data AS TEXT) ->> '$.lot' = ?2
    AND run IS NOT NULL
GROUP BY 1, 2, 3, 4 ORDER BY min(event.seq);

-- name: units_of_lot
-- Serial numbers that were scanned with the lot in use, or are of this batch.
SELECT CAST(event.data AS TEXT) ->> '$.unit' AS unit,
    max(EXISTS (SELECT 1 FROM json_each(CAST(event.data AS TEXT), '$.lots') WHERE value = ?2)) AS listed,
    max(coalesce(context.body ->> '$.batch' = ?2, 0)) AS member, min(event.seq)
FROM mention JOIN event ON event.seq = mention.seq
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE mention.subject = ?1 AND event.type IN ('unit', 'test')
GROUP BY unit HAVING listed OR member ORDER BY 4 LIMIT ?3;

-- name: count_units_of_lot
SELECT count(DISTINCT CAST(event.data AS TEXT) ->> '$.unit')
FROM mention JOIN event ON event.seq = mention.seq
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE mention.subject = ?1 AND event.type IN ('unit', 'test') AND (
    context.body ->> '$.batch' = ?2
    OR EXISTS (SELECT 1 FROM json_each(CAST(event.data AS TEXT), '$.lots') WHERE value = ?2)
);

-- name: made_of_lot
-- The same serial numbers, counted by what they were made under.
SELECT context.body ->> '$.order', context.body ->> '$.operation', context.body ->> '$.item',
    context.body ->> '$.revision', context.body ->> '$.run', event.station,
    count(DISTINCT CAST(event.data AS TEXT) ->> '$.unit')
FROM mention JOIN event ON event.seq = mention.seq
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE mention.subject = ?1 AND event.type IN ('unit', 'test') AND (
    context.body ->> '$.batch' = ?2
    OR EXISTS (SELECT 1 FROM json_each(CAST(event.data AS TEXT), '$.lots') WHERE value = ?2)
)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY min(event.seq) LIMIT ?3;

-- name: tests_of_lot
-- What was tested of the same serial numbers, wherever it was.
WITH made (unit) AS (
    SELECT DISTINCT CAST(event.data AS TEXT) ->> '$.unit'
    FROM mention JOIN event ON event.seq = mention.seq
    LEFT JOIN attribution ON attribution.seq = event.seq
    JOIN context ON context.id = coalesce(attribution.context, event.context)
    WHERE mention.subject = ?1 AND event.type IN ('unit', 'test') AND (
        context.body ->> '$.batch' = ?2
        OR EXISTS (SELECT 1 FROM json_each(CAST(event.data AS TEXT), '$.lots') WHERE value = ?2)
    )
)
SELECT CAST(event.data AS TEXT) ->> '$.rig', CAST(event.data AS TEXT) ->> '$.program',
    CAST(event.data AS TEXT) ->> '$.revision', count(DISTINCT made.unit),
    sum(CAST(event.data AS TEXT) ->> '$.passed'), count(*)
FROM made JOIN mention ON mention.subject = 'unit/' || made.unit JOIN event ON event.seq = mention.seq
WHERE event.type = 'test'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT ?3;

-- name: contexts_of_batch
-- Runs under which the batch was ever made, or was said to be.
SELECT DISTINCT body ->> '$.run' AS run FROM context
WHERE body ->> '$.batch' = ?1 AND run IS NOT NULL ORDER BY id LIMIT ?2;

-- name: next_at
SELECT min(at_ms) FROM event WHERE station = ?1 AND at_ms >= ?2;

-- name: uses_in_chosen
SELECT context.body ->> '$.run', CAST(event.data AS TEXT) ->> '$.material', CAST(event.data AS TEXT) ->> '$.lot',
    CAST(event.data AS TEXT) ->> '$.use', count(*), sum(coalesce(CAST(event.data AS TEXT) ->> '$.quantity', 0))
FROM temp.chosen CROSS JOIN event ON event.seq = chosen.seq JOIN context ON context.id = chosen.context
WHERE event.type = 'material' AND context.body ->> '$.run' = ?1
GROUP BY 1, 2, 3, 4 ORDER BY min(event.seq);

-- name: unit_batches_in_chosen
SELECT DISTINCT context.body ->> '$.batch'
FROM temp.chosen CROSS JOIN event ON event.seq = chosen.seq JOIN context ON context.id = chosen.context
WHERE event.type IN ('unit', 'test') AND context.body ->> '$.run' = ?1;

-- name: units_in_chosen
-- Serial numbers of a run that are known by a test there, or that name no lot: of a batch, or of none.
SELECT CAST(event.data AS TEXT) ->> '$.unit', 0, 1, min(event.seq)
FROM temp.chosen CROSS JOIN event ON event.seq = chosen.seq JOIN context ON context.id = chosen.context
WHERE event.type IN ('test', 'unit') AND context.body ->> '$.run' = ?1
    AND context.body ->> '$.batch' IS ?2
    AND coalesce(json_array_length(CAST(event.data AS TEXT), '$.lots'), 0) = 0
GROUP BY 1 ORDER BY 4 LIMIT ?3;

-- name: rows_of_runs
-- Runs that have ended, the newest first.
SELECT key, body FROM state
WHERE key BETWEEN 'run/' AND 'run0' AND (?1 IS NULL OR CAST(body AS TEXT) ->> '$.order' = ?1)
    AND (?2 IS NULL OR CAST(body AS TEXT) ->> '$.station' = ?2)
ORDER BY CAST(body AS TEXT) ->> '$.started_ms' DESC, length(key) DESC, key DESC LIMIT ?3;

-- name: forget_mine
DELETE FROM temp.mine;

-- name: forget_wanted
DELETE FROM temp.wanted;

-- name: choose_contexts
INSERT INTO temp.mine (id) SELECT id FROM context WHERE body ->> '$.run' = ?1;

-- name: first_of_run
-- The begin of a run is the first event that can name it, and it is stamped with the time of its begin.
SELECT min(seq) FROM event INDEXED BY event_at
WHERE station = ?1 AND at_ms = ?2 AND type = 'order' AND context IN (SELECT id FROM temp.mine)
    AND CAST(data AS TEXT) ->> '$.run_state' = 'begun';

-- name: want_said
INSERT OR IGNORE INTO temp.wanted (seq)
SELECT seq FROM event WHERE seq BETWEEN ?1 AND ?2 AND context IN (SELECT id FROM temp.mine);

-- name: want_given
INSERT OR IGNORE INTO temp.wanted (seq)
SELECT seq FROM attribution WHERE context IN (SELECT id FROM temp.mine);

-- name: wanted_after
SELECT
    (SELECT name FROM epoch WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1),
    event.seq, event.type, event.at_ms, event.stamp, event.seen_ms, event.mono_ms, boot.name, event.station,
    said.body, event.data, coalesce(attribution.version, 1), owner.body,
    coalesce(attribution.context, event.context) IN (SELECT id FROM temp.mine)
FROM temp.wanted JOIN event ON event.seq = wanted.seq JOIN boot ON boot.id = event.boot
JOIN context AS said ON said.id = event.context
LEFT JOIN attribution ON attribution.seq = event.seq
LEFT JOIN context AS owner ON owner.id = attribution.context
WHERE wanted.seq > ?1 AND (?2 IS NULL OR event.type = ?2) ORDER BY wanted.seq LIMIT ?3;

-- name: corrections_after
SELECT DISTINCT CAST(data AS TEXT) ->> '$.version' FROM event WHERE seq BETWEEN ?1 AND ?2 AND type = 'attribution';
