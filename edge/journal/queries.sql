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
    event.seq, event.type, event.at_ms, event.stamp, event.seen_ms, event.station, context.body,
    coalesce(attribution.version, 1), event.data
FROM event
LEFT JOIN attribution ON attribution.seq = event.seq
JOIN context ON context.id = coalesce(attribution.context, event.context)
WHERE event.seq BETWEEN ? AND ? ORDER BY event.seq LIMIT ?;

-- name: add_mention
INSERT OR IGNORE INTO mention (subject, seq) VALUES (?, ?);

-- name: find_context
SELECT id FROM context WHERE body = ?;

-- name: choose_window
-- What happened at a station in a span of event time, of the types that move with their parts.
INSERT INTO temp.chosen (seq, context)
SELECT event.seq, coalesce(attribution.context, event.context)
FROM event INDEXED BY event_at LEFT JOIN attribution ON attribution.seq = event.seq
WHERE event.station = ?1 AND event.at_ms >= ?2 AND event.at_ms < ?3 AND event.type IN (SELECT type FROM temp.moved);

-- name: choose_since
-- What was seen at a station since an instant of a boot's monotonic clock. It is sought from the newest
-- event back, to one that was seen ten seconds before it: events are decided nearly in that order.
INSERT INTO temp.chosen (seq, context)
SELECT event.seq, coalesce(attribution.context, event.context)
FROM event LEFT JOIN attribution ON attribution.seq = event.seq
WHERE event.seq > coalesce((
        SELECT seq FROM event
        WHERE boot <> (SELECT id FROM boot WHERE name = ?2) OR mono_ms < ?3 - 10000
        ORDER BY seq DESC LIMIT 1
    ), 0)
    AND event.station = ?1 AND event.mono_ms >= ?3 AND event.type IN (SELECT type FROM temp.moved);

-- name: forget_chosen
DELETE FROM temp.chosen;

-- name: add_up_chosen
SELECT context.body, event.type, CAST(event.data AS TEXT) ->> CASE event.type
        WHEN 'count' THEN '$.role' WHEN 'disposition' THEN '$.disposition' ELSE '$.first_pass' END AS kind,
    coalesce(CAST(event.data AS TEXT) ->> '$.counts', 1) AS counts,
    CASE event.type WHEN 'test' THEN coalesce(CAST(event.data AS TEXT) ->> '$.first', 0) ELSE 1 END AS first,
    count(*), min(event.at_ms), max(event.at_ms),
    sum(coalesce(CAST(event.data AS TEXT) ->> CASE event.type
        WHEN 'count' THEN '$.produced' WHEN 'disposition' THEN '$.quantity' WHEN 'cycle' THEN '$.cycles'
        ELSE '$.good' END, CASE event.type WHEN 'cycle' THEN 1 ELSE 0 END)),
    sum(coalesce(CAST(event.data AS TEXT) ->> '$.scrap', 0)),
    sum(CASE event.type WHEN 'cycle' THEN
        (CAST(event.data AS TEXT) ->> '$.cycle_s') * coalesce(CAST(event.data AS TEXT) ->> '$.cycles', 1)
        ELSE 0.0 END)
FROM temp.chosen JOIN event ON event.seq = chosen.seq JOIN context ON context.id = chosen.context
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;

-- name: move_chosen
INSERT INTO attribution (seq, version, context)
SELECT seq, ?3, ?2 FROM temp.chosen WHERE context = ?1
ON CONFLICT (seq) DO UPDATE SET version = excluded.version, context = excluded.context
RETURNING seq;

-- name: mention_batch
-- What was moved to another batch tells of that batch too.
INSERT OR IGNORE INTO mention (subject, seq)
SELECT ?3, chosen.seq FROM temp.chosen JOIN event ON event.seq = chosen.seq
WHERE chosen.context = ?1 AND event.type IN (?2, 'material');

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
