-- What a journal of each schema can hold, as its own time wrote it: test_migrations.py fills a file of that
-- schema with all blocks up to its number.

-- schema: 1
INSERT INTO context (id, body) VALUES
    (1, '{}'), (2, '{"order":"WO-1","operation":10,"run":"r1","item":"P7","batch":"B1"}'), (3, '{"order":"WO-2","run":"r2"}');
INSERT INTO boot (id, name) VALUES (1, 'b0a1c2d3');
INSERT INTO epoch (first_seq, name) VALUES (1, 'aaaa0001'), (4, 'aaaa0002');
INSERT INTO event (seq, type, at_ms, stamp, seen_ms, mono_ms, boot, station, context, data)
SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, CAST(column10 AS BLOB) FROM (VALUES
    (1, 'health', 1777875129000, 'receipt', 1777875129000, 1000, 1, '', 1, '{"subject":"agent","state":"start","detail":"0.1.0"}'),
    (2, 'count', 1777875130000, 'receipt', 1777875130001, 2000, 1, 'press', 2, '{"role":"total","produced":3,"raw":90211,"quality":"live"}'),
    (3, 'unit', 1777875131000, 'receipt', 1777875131001, 3000, 1, 'press', 2, '{"unit":"S1","lots":["B1"]}'),
    (4, 'gap', 1777875132000, 'receipt', 1777875132001, 4000, 1, 'press', 2, '{"cause":"agent"}'),
    (5, 'count', 1777875133000, 'source', 1777875133001, 5000, 1, 'press', 2, '{"role":"total","produced":1,"raw":90212,"quality":"uncertain"}'));
INSERT INTO attribution (seq, version, context) VALUES (2, 2, 3);
INSERT INTO mention (subject, seq) VALUES ('unit/S1', 3), ('lot/B1', 3);
INSERT INTO state (key, body) VALUES ('line', CAST('{"type":"line","runs":2}' AS BLOB));
INSERT INTO progress (sink, first, last) VALUES ('file', 1, 3), ('file', 5, 5);
INSERT INTO rejected (sink, seq, reason) VALUES ('file', 3, 'too large');
INSERT INTO quarantine (id, seen_ms, observation, error) VALUES (1, 1777875131000, CAST('{"signal":"gun-1"}' AS BLOB), 'ValueError: x');

-- schema: 2
INSERT INTO telemetry (seq, name, at_ms, stamp, seen_ms, mono_ms, boot, station, context, body) VALUES
    (6, 'oven', 1777875134000, 'receipt', 1777875134000, 6000, 1, 'press', 2, x'7801ab56ca4bcc4d55b252ca2f4bcd53d2514a2b02728b95aca2ab95124b94ac0ccdcdcd2dcc4d0d8d4d0c0c0c7494ca12734a41b2d54a55f979a9f1864a564646967aa6b5b5b1b5002d0415dd');
INSERT INTO recent (sink, at_ms, first, last, boot, begun_ms, long) VALUES ('file', 4000, 1, 3, 'b0a1c2d3', 3000, 0);
INSERT INTO marked (sink, since_ms, mono_ms, boot) VALUES ('file', 1777875131000, 3000, 'b0a1c2d3');
INSERT INTO skipped (sink, count) VALUES ('file', 2);
INSERT INTO calendar (one, now_ms) VALUES (1, 1777875134000);
INSERT INTO restamped (seq, at_ms, seen_ms, data) VALUES (5, 1777875139000, 1777875139001, NULL);

-- schema: 3
INSERT INTO state (key, body) VALUES
    ('counter/plc|unit 1 holding 100 u32', CAST('{"type":"counter","raw":90212,"at_ms":1777875133000,"seen_ms":1777875133001,"mono_ms":5000,"boot":"b0a1c2d3"}' AS BLOB));
