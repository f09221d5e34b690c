-- What exports, backups and verification read, always in one repeatable-read transaction, and what a restore
-- writes. A table is named by the program from `tables`, never by a person.

-- name: events
-- The whole journal or one region's, in order, with times as the hash chain writes them and payloads as kept.
SELECT region, seq, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, kind,
       payload::text AS payload, actor, epoch, hash
FROM events
WHERE $1::text IS NULL OR region = $1
ORDER BY region, seq;

-- name: heads
SELECT region, seq, hash FROM heads ORDER BY region;

-- name: personal
-- As a dump of the table writes it.
SELECT row_to_json(p)::text FROM personal p;
