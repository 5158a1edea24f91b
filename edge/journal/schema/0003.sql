-- The width that a counter is declared with is no part of its key any more: its baseline outlives a correction of it.
-- Of a counter that was read with several widths, the baseline that was seen last is the one that goes on.
INSERT OR REPLACE INTO state (key, body)
SELECT substr(plain, 1, length(plain) - 2), body FROM (
    SELECT rtrim(key, '0123456789') AS plain, body,
        max(iif(json_valid(CAST(body AS TEXT)), CAST(body AS TEXT) ->> '$.seen_ms', 0))
    FROM state WHERE key GLOB 'counter/*|u[0-9]' OR key GLOB 'counter/*|u[0-9][0-9]'
    GROUP BY plain
);
DELETE FROM state WHERE key GLOB 'counter/*|u[0-9]' OR key GLOB 'counter/*|u[0-9][0-9]';
