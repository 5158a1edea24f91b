-- name: begin
-- The write lock at once: a transaction that reads first can find that it is too late to write.
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

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
    event.seq, event.type, coalesce(restamped.at_ms, event.at_ms), coalesce(restamped.seen_ms, event.seen_ms),
    event.mono_ms, boot.name, event.station, context.body, coalesce(restamped.data, event.data)
FROM event JOIN context ON context.id = event.context JOIN boot ON boot.id = event.boot
LEFT JOIN restamped ON restamped.seq = event.seq
WHERE event.seq BETWEEN ? AND ? ORDER BY event.seq LIMIT ?;

-- name: said_after
-- The newest labels that were read, and what else a person at the station is to see.
SELECT
    event.seq, coalesce(restamped.at_ms, event.at_ms), event.station, event.type,
    coalesce(restamped.data, event.data)
FROM event LEFT JOIN restamped ON restamped.seq = event.seq
WHERE event.seq > ? AND (
    event.type IN ('scan', 'forgotten')
    OR event.type = 'flag' AND CAST(event.data AS TEXT) ->> '$.flag' IN
        ('no_unit', 'verdict_differs', 'badge_ended')
) ORDER BY event.seq DESC LIMIT ?;

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
-- In which runs a lot was used, how often and how much; of one that was mounted, what its label says is in it.
SELECT context.body ->> '$.run' AS run, CAST(event.data AS TEXT) ->> '$.material', ?2,
    CAST(event.data AS TEXT) ->> '$.use' AS use, count(*),
    iif(CAST(event.data AS TEXT) ->> '$.use' = 'mounted', max(coalesce(CAST(event.data AS TEXT) ->> '$.quantity', 0)),
        sum(coalesce(CAST(event.data AS TEXT) ->> '$.quantity', 0)))
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
    max(coalesce(context.body ->> '$.batch' = ?2, 0)
        OR coalesce(CAST(event.data AS TEXT) ->> '$.lot' = ?2, 0)) AS member, min(event.seq)
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
    context.body ->> '$.batch' = ?2 OR CAST(event.data AS TEXT) ->> '$.lot' = ?2
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
    context.body ->> '$.batch' = ?2 OR CAST(event.data AS TEXT) ->> '$.lot' = ?2
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
        context.body ->> '$.batch' = ?2 OR CAST(event.data AS TEXT) ->> '$.lot' = ?2
        OR EXISTS (SELECT 1 FROM json_each(CAST(event.data AS TEXT), '$.lots') WHERE value = ?2)
    )
)
SELECT CAST(event.data AS TEXT) ->> '$.rig', CAST(event.data AS TEXT) ->> '$.program',
    CAST(event.data AS TEXT) ->> '$.revision', count(DISTINCT made.unit),
    sum(coalesce(CAST(event.data AS TEXT) ->> '$.verdict', CAST(event.data AS TEXT) ->> '$.passed', 0)), count(*)
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
    CAST(event.data AS TEXT) ->> '$.use' AS use, count(*),
    iif(CAST(event.data AS TEXT) ->> '$.use' = 'mounted', max(coalesce(CAST(event.data AS TEXT) ->> '$.quantity', 0)),
        sum(coalesce(CAST(event.data AS TEXT) ->> '$.quantity', 0)))
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

-- name: append_telemetry
INSERT INTO telemetry (seq, name, at_ms, stamp, seen_ms, mono_ms, boot, station, context, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: telemetry_between
SELECT
    (SELECT name FROM epoch WHERE first_seq <= telemetry.seq ORDER BY first_seq DESC LIMIT 1),
    telemetry.seq, telemetry.name, telemetry.at_ms, telemetry.stamp, telemetry.seen_ms, telemetry.station,
    context.body, telemetry.body, telemetry.shift_ms
FROM telemetry JOIN context ON context.id = telemetry.context
WHERE telemetry.seq BETWEEN ? AND ? ORDER BY telemetry.seq LIMIT ?;

-- name: first_telemetry
SELECT min(seq) FROM telemetry WHERE seq BETWEEN ? AND ?;

-- name: get_recent
SELECT at_ms, first, last, boot, begun_ms, long FROM recent WHERE sink = ? ORDER BY long, at_ms, first;

-- name: drop_recent
DELETE FROM recent WHERE sink = ? AND at_ms = ? AND first = ? AND begun_ms = ? AND long = ?;

-- name: add_recent
INSERT OR REPLACE INTO recent (sink, at_ms, first, last, boot, begun_ms, long) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: all_recent
SELECT sink, first, last FROM recent;

-- name: get_secret
SELECT value FROM secret;

-- name: get_marked
SELECT since_ms, mono_ms, boot FROM marked WHERE sink = ?;

-- name: put_marked
INSERT OR REPLACE INTO marked (sink, since_ms, mono_ms, boot) VALUES (?, ?, ?, ?);

-- name: drop_marked
DELETE FROM marked WHERE sink = ?;

-- name: kept_between
-- Which records of a range there are, whether they may be sent yet or not.
SELECT seq FROM event WHERE seq BETWEEN ?1 AND ?2
UNION ALL SELECT seq FROM telemetry WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3;

-- name: first_seen
-- When the oldest record of a range was seen.
SELECT seen_ms FROM (
    SELECT * FROM (SELECT seq, seen_ms FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT seq, seen_ms FROM telemetry WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT 1)
) ORDER BY seq LIMIT 1;

-- name: never_given
-- Numbers that no record of this journal ever had: it was restored, and goes on above those of another.
SELECT first_seq, (SELECT min(first_seq) FROM epoch AS later WHERE later.first_seq > void.first_seq) - 1
FROM epoch AS void
WHERE name = 'void' AND EXISTS (SELECT 1 FROM epoch AS later WHERE later.first_seq > void.first_seq)
ORDER BY first_seq;

-- name: epoch_of
SELECT name FROM epoch WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1;

-- name: get_skipped
SELECT coalesce(sum(count), 0) FROM skipped WHERE sink = ?;

-- name: add_skipped
INSERT INTO skipped (sink, count) VALUES (?, ?) ON CONFLICT (sink) DO UPDATE SET count = count + excluded.count;

-- name: rejected_of
-- The events that far ends will never take; those of one sink, or of all.
SELECT rejected.sink, rejected.seq, coalesce(event.type, iif(telemetry.seq IS NULL, '', 'telemetry')),
    coalesce(event.at_ms, telemetry.at_ms, 0), coalesce(event.station, telemetry.station, ''), rejected.reason
FROM rejected LEFT JOIN event ON event.seq = rejected.seq LEFT JOIN telemetry ON telemetry.seq = rejected.seq
WHERE ?1 IS NULL OR rejected.sink = ?1 ORDER BY rejected.sink, rejected.seq LIMIT ?2;

-- name: rejected_seqs
SELECT seq FROM rejected WHERE sink = ? ORDER BY seq;

-- name: forget_rejected
DELETE FROM rejected WHERE sink = ? AND seq = ?;

-- name: forget_rejected_between
DELETE FROM rejected WHERE seq BETWEEN ? AND ?;

-- name: quarantined_observations
SELECT id, seen_ms, observation, error FROM quarantine WHERE id > ? ORDER BY id LIMIT ?;

-- name: get_quarantined
SELECT observation FROM quarantine WHERE id = ?;

-- name: forget_quarantined
DELETE FROM quarantine WHERE id = ?;

-- name: forget_copies
DELETE FROM quarantine WHERE id > ?1 AND observation = (SELECT observation FROM quarantine WHERE id = ?1);

-- name: sinks_known
-- Every name under which progress was ever noted.
SELECT sink FROM progress UNION SELECT sink FROM rejected UNION SELECT sink FROM skipped;

-- name: unthinned
-- Its time as its frames have it: see shift_ms.
SELECT seq, seen_ms, name, at_ms - shift_ms, body FROM telemetry WHERE thinned = 0 AND seq BETWEEN ? AND ?
ORDER BY seq LIMIT ?;

-- name: thin
UPDATE telemetry SET thinned = 1, at_ms = ? + shift_ms, body = ? WHERE seq = ?;

-- name: oldest_telemetry
SELECT seq, seen_ms, length(body) FROM telemetry WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?;

-- name: drop_telemetry
DELETE FROM telemetry WHERE seq BETWEEN ? AND ?;

-- name: oldest_events
SELECT seq, seen_ms FROM event WHERE seq > ? ORDER BY seq LIMIT ?;

-- name: first_sane
SELECT seen_ms FROM event WHERE seq > ? AND seen_ms >= ? ORDER BY seq LIMIT 1;

-- name: subjects_between
SELECT DISTINCT subject FROM mention WHERE seq BETWEEN ? AND ?;

-- name: runs_between
SELECT DISTINCT context.body ->> '$.run' FROM event JOIN context ON context.id = event.context
WHERE event.seq BETWEEN ? AND ?;

-- name: drop_mentions
DELETE FROM mention WHERE seq BETWEEN ? AND ?;

-- name: drop_attributions
DELETE FROM attribution WHERE seq BETWEEN ? AND ?;

-- name: drop_rejected
DELETE FROM rejected WHERE seq BETWEEN ? AND ?;

-- name: skip_rejected
-- What a far end would not take stays in its books when the record goes.
INSERT INTO skipped (sink, count) SELECT sink, count(*) FROM rejected WHERE seq BETWEEN ? AND ? GROUP BY sink
ON CONFLICT (sink) DO UPDATE SET count = count + excluded.count;

-- name: drop_rejected_of
DELETE FROM rejected WHERE sink = ?;

-- name: drop_recent_of
DELETE FROM recent WHERE sink = ?;

-- name: drop_skipped_of
DELETE FROM skipped WHERE sink = ?;

-- name: drop_events
DELETE FROM event WHERE seq BETWEEN ? AND ?;

-- name: drop_row
DELETE FROM state WHERE key = ?;

-- name: get_calendar
SELECT now_ms FROM calendar;

-- name: put_calendar
INSERT INTO calendar (one, now_ms) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET now_ms = excluded.now_ms;

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rootpage;

-- name: pieces
-- What ANALYZE keeps is not looked at.
SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT IN ('sqlite_stat1', 'sqlite_stat4');

-- name: bounds
-- Each by itself: both at once would read the table.
SELECT 'event', (SELECT min(seq) FROM event), (SELECT max(seq) FROM event)
UNION ALL SELECT 'epoch', (SELECT min(first_seq) FROM epoch), (SELECT max(first_seq) FROM epoch)
UNION ALL SELECT 'progress', min(first), max(last) FROM progress;

-- name: more_bounds
SELECT 'telemetry', (SELECT min(seq) FROM telemetry), (SELECT max(seq) FROM telemetry)
UNION ALL SELECT 'recent', min(first), max(last) FROM recent
UNION ALL SELECT 'held', min(first), max(first) FROM held;

-- name: wrong_ranges
SELECT 'progress', first, last FROM progress WHERE first > last LIMIT 1;

-- name: more_wrong_ranges
SELECT 'recent', first, last FROM recent WHERE first > last LIMIT 1;

-- name: wrong_times
SELECT 'event', seq FROM event WHERE at_ms NOT BETWEEN ?1 AND ?2 OR seen_ms NOT BETWEEN ?1 AND ?2 LIMIT 1;

-- name: more_wrong_times
SELECT 'telemetry', seq FROM telemetry WHERE at_ms NOT BETWEEN ?1 AND ?2 OR seen_ms NOT BETWEEN ?1 AND ?2 LIMIT 1;

-- name: quick_check
SELECT quick_check FROM pragma_quick_check(?);

-- name: integrity_check
SELECT integrity_check FROM pragma_integrity_check(?);

-- name: get_held
SELECT first FROM held;

-- name: hold
INSERT OR IGNORE INTO held (one, first) VALUES (1, ?);

-- name: release
DELETE FROM held;

-- name: keep_times
-- The first correction of an event keeps what was committed; the same six say which events are meant.
INSERT OR IGNORE INTO restamped (seq, at_ms, seen_ms)
SELECT seq, at_ms, seen_ms FROM event WHERE seq >= ?1 AND boot = (SELECT id FROM boot WHERE name = ?2)
    AND mono_ms BETWEEN ?3 AND ?4 AND seen_ms - mono_ms BETWEEN ?5 AND ?6;

-- name: estimated_data
SELECT seq, data FROM event WHERE seq >= ?1 AND boot = (SELECT id FROM boot WHERE name = ?2)
    AND mono_ms BETWEEN ?3 AND ?4 AND seen_ms - mono_ms BETWEEN ?5 AND ?6
    AND type IN ('attribution', 'clock', 'gap', 'loss', 'result') AND seq > ?7 ORDER BY seq LIMIT ?8;

-- name: keep_data
UPDATE restamped SET data = coalesce(data, ?) WHERE seq = ?;

-- name: put_data
UPDATE event SET data = ? WHERE seq = ?;

-- name: restamp_events
UPDATE event SET at_ms = iif(at_ms >= ?7, at_ms + ?8, at_ms), seen_ms = seen_ms + ?8
WHERE seq >= ?1 AND boot = (SELECT id FROM boot WHERE name = ?2)
    AND mono_ms BETWEEN ?3 AND ?4 AND seen_ms - mono_ms BETWEEN ?5 AND ?6;

-- name: restamp_telemetry
-- A batch that began before the doubt stays whole, on the time of then.
UPDATE telemetry SET at_ms = at_ms + ?8, seen_ms = seen_ms + ?8, shift_ms = shift_ms + ?8
WHERE seq >= ?1 AND boot = (SELECT id FROM boot WHERE name = ?2)
    AND mono_ms BETWEEN ?3 AND ?4 AND seen_ms - mono_ms BETWEEN ?5 AND ?6 AND at_ms >= ?7;

-- name: last_seen
-- When the newest record was seen.
SELECT seen_ms, mono_ms, boot.name FROM (
    SELECT * FROM (SELECT seq, seen_ms, mono_ms, boot FROM event ORDER BY seq DESC LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT seq, seen_ms, mono_ms, boot FROM telemetry ORDER BY seq DESC LIMIT 1)
) JOIN boot ON boot.id = boot ORDER BY seq DESC LIMIT 1;

-- name: columns
-- Name, type, and the place in the primary key or 0.
SELECT name, type, pk FROM pragma_table_info(?) ORDER BY pk;

-- name: last_event
SELECT max(seq) FROM event;

-- name: last_telemetry
SELECT max(seq) FROM telemetry;

-- name: last_spoken_of
-- The newest seq that anything but the records themselves tells of.
SELECT max(
    (SELECT coalesce(max(last), 0) FROM progress), (SELECT coalesce(max(seq), 0) FROM mention),
    (SELECT coalesce(max(seq), 0) FROM attribution), (SELECT coalesce(max(first_seq), 1) - 1 FROM epoch)
);

-- name: count_rows
SELECT count(*) FROM state;

-- name: mend_contexts
-- Records whose context could not be read have an empty one: without any no reader would find them.
INSERT OR IGNORE INTO context (body) SELECT '{}' WHERE EXISTS (
    SELECT 1 FROM event WHERE context NOT IN (SELECT id FROM context)
    UNION ALL SELECT 1 FROM telemetry WHERE context NOT IN (SELECT id FROM context)
);
UPDATE event SET context = (SELECT id FROM context WHERE body = '{}')
WHERE context NOT IN (SELECT id FROM context);
UPDATE telemetry SET context = (SELECT id FROM context WHERE body = '{}')
WHERE context NOT IN (SELECT id FROM context);
DELETE FROM attribution WHERE context NOT IN (SELECT id FROM context);

-- name: mend_boots
INSERT OR IGNORE INTO boot (name) SELECT 'unknown' WHERE EXISTS (
    SELECT 1 FROM event WHERE boot NOT IN (SELECT id FROM boot)
    UNION ALL SELECT 1 FROM telemetry WHERE boot NOT IN (SELECT id FROM boot)
);
UPDATE event SET boot = (SELECT id FROM boot WHERE name = 'unknown')
WHERE boot NOT IN (SELECT id FROM boot);
UPDATE telemetry SET boot = (SELECT id FROM boot WHERE name = 'unknown')
WHERE boot NOT IN (SELECT id FROM boot);

-- name: begin_reading
BEGIN;

-- name: count_records
SELECT (SELECT count(*) FROM event), (SELECT at_ms FROM event ORDER BY seq DESC LIMIT 1);

-- name: count_batches
SELECT (SELECT count(*) FROM telemetry), (SELECT at_ms FROM telemetry ORDER BY seq DESC LIMIT 1);

-- name: about_after
-- As events_about, a page at a time.
SELECT
    (SELECT name FROM epoch WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1),
    event.seq, event.type, event.at_ms, event.stamp, event.seen_ms, event.station, context.body,
    coalesce(attribution.version, 1), event.data
FROM mention JOIN event ON event.seq = mention.seq
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE mention.subject = ?1 AND mention.seq > ?2 ORDER BY mention.seq LIMIT ?3;

-- name: seen_before
-- Of the epochs before: what this one's agent recorded before its start was not seen by another.
WITH begun (seq) AS (SELECT coalesce(max(first_seq), ?1) FROM epoch WHERE first_seq <= ?1)
SELECT seen_ms FROM (
    SELECT * FROM (SELECT seq, seen_ms FROM event WHERE seq < (SELECT seq FROM begun) ORDER BY seq DESC LIMIT 1)
    UNION ALL
    SELECT * FROM (
        SELECT seq, seen_ms FROM telemetry WHERE seq < (SELECT seq FROM begun) ORDER BY seq DESC LIMIT 1
    )
) ORDER BY seq DESC LIMIT 1;

-- name: salvage_ordered
-- The names in braces are put in by salvage.py: it takes over every table that both journals have.
SELECT {columns} FROM {table} ORDER BY {order};

-- name: salvage_onwards
SELECT {columns} FROM {table} WHERE {key} >= ? ORDER BY {key} LIMIT ?;

-- name: salvage_between
SELECT {columns} FROM {table} WHERE {key} BETWEEN ? AND ?;

-- name: salvage_last
SELECT max({key}) FROM {table};

-- name: salvage_put
-- A secret takes the place of the one that the new journal was made with.
INSERT OR {conflict} INTO {table} ({columns}) VALUES ({marks});

-- name: prepare_views
-- Tables of one connection alone, in memory: events of a view, the moves of its parts, types that move.
CREATE TEMP TABLE chosen (seq INTEGER PRIMARY KEY, context INTEGER NOT NULL);
CREATE TEMP TABLE move (source INTEGER PRIMARY KEY, target INTEGER, version INTEGER, batch TEXT);
CREATE TEMP TABLE moved (type TEXT PRIMARY KEY);

-- name: add_moved_type
INSERT INTO temp.moved (type) VALUES (?);

-- name: prepare_history
-- Contexts of a run, and the events that are asked for.
CREATE TEMP TABLE mine (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE wanted (seq INTEGER PRIMARY KEY);
