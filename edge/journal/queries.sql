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
SELECT coalesce(max(seq), 0) FROM event;

-- name: events_between
SELECT
    (SELECT name FROM epoch WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1),
    event.seq, event.type, event.at_ms, event.stamp, event.seen_ms, event.station, context.body, event.attribution, event.data
FROM event JOIN context ON context.id = event.context
WHERE event.seq BETWEEN ? AND ? ORDER BY event.seq LIMIT ?;

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

-- name: clear_progress
DELETE FROM progress WHERE sink = ?;

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
