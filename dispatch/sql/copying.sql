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

-- name: regions
-- Every region that has events, whether or not it has a head: from one to the next by the primary key.
WITH RECURSIVE found AS (
    SELECT min(region) AS region FROM events
    UNION ALL
    SELECT (SELECT min(e.region) FROM events e WHERE e.region > f.region) FROM found f WHERE f.region IS NOT NULL
)
SELECT region FROM found WHERE region IS NOT NULL;

-- name: personal
-- As a dump of the table writes it.
SELECT row_to_json(p)::text FROM personal p;

-- name: tables
-- Tables of this schema, those that others depend on first; partitions belong to their parent.
SELECT c.relname
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY (SELECT count(*) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'), c.relname;

-- name: plainly
-- What is written must not depend on how this server or role is set.
SELECT set_config('timezone', 'UTC', true), set_config('bytea_output', 'hex', true),
       set_config('extra_float_digits', '1', true);

-- name: table
-- Each row as one line of JSON, by its column names.
SELECT row_to_json(t)::text FROM {table} t;

-- name: fill
-- Rows from a JSON array of such lines.
INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1::text::json);

-- name: filled
-- Whether a table has any row.
SELECT EXISTS (SELECT FROM {table});

-- name: count
SELECT count(*) FROM {table};

-- name: keep_others_out
-- Nobody may claim a region, and so write, before a restore is done.
LOCK TABLE leaders IN EXCLUSIVE MODE;

-- name: free_leases
-- Whoever led when the backup was made is gone; the epochs stay, and the next claim raises them.
UPDATE leaders SET expires_at = now(), address = '';

-- name: note
INSERT INTO audit (at, actor, action, subject) VALUES (now(), $1, $2, $3);

-- name: region_rows
-- A read model's rows of one region.
SELECT * FROM {table} WHERE region = $1;

-- name: has_call
SELECT EXISTS (SELECT FROM calls WHERE call_id = $1);

-- name: newest
SELECT max(at) FROM events;
