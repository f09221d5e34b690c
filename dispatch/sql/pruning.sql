-- Each query drops at most $2 rows older than $1 and says how many, so that no step holds locks for long. Rows
-- that another process is dropping at the same time are passed over.

-- name: answers
WITH gone AS (
    DELETE FROM answers WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM answers WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: decisions
WITH gone AS (
    DELETE FROM decisions WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM decisions WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sessions
WITH gone AS (
    DELETE FROM sessions WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM sessions WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: contacts
-- Those that a supervisor has settled.
WITH gone AS (
    DELETE FROM contacts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM contacts WHERE settled_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: contacts_waiting
-- Those that nobody ever settled, when personal data of their age may no longer be kept.
WITH gone AS (
    DELETE FROM contacts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM contacts WHERE settled_at IS NULL AND at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: audit
WITH gone AS (
    DELETE FROM audit WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM audit WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: orders
WITH gone AS (
    DELETE FROM orders WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM orders WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: assignments
-- What is over was begun before it was over: the first condition is there for the index by time.
WITH gone AS (
    DELETE FROM assignments WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM assignments WHERE assigned_at < $1 AND cleared_at < $1 LIMIT $2
        FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: calls
WITH gone AS (
    DELETE FROM calls WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM calls WHERE at < $1 AND closed_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: incidents
WITH gone AS (
    DELETE FROM incidents WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM incidents WHERE opened_at < $1 AND closed_at < $1 LIMIT $2
        FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: personal
-- Ids sort by time: those from $3 on that are less than the first of the time that is kept.
WITH gone AS (
    DELETE FROM personal WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM personal WHERE id < $1 AND id >= $3 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: say_forgotten
INSERT INTO audit (at, actor, action, subject) VALUES ($1, 'system', 'erased', $2);

-- name: tracks
-- Whole days at once: dropping a partition costs the same whatever is in it.
SELECT drop_track_days($1::date);

-- name: oldest
-- Where an index gives the oldest row at once.
SELECT 'answers', min(at) FROM answers
UNION ALL SELECT 'decisions', min(at) FROM decisions
UNION ALL SELECT 'audit', min(at) FROM audit
UNION ALL SELECT 'contacts', min(at) FROM contacts WHERE settled_at IS NULL
UNION ALL SELECT 'calls', min(at) FROM calls
UNION ALL SELECT 'incidents', min(opened_at) FROM incidents
UNION ALL SELECT 'assignments', min(assigned_at) FROM assignments
UNION ALL SELECT 'orders', min(at) FROM orders
UNION ALL SELECT 'events', min(e.at) FROM heads h JOIN events e ON e.region = h.region AND e.seq = 1;

-- name: oldest_personal
SELECT min(id) FROM personal WHERE id >= 'c-' AND id < 'c.';

-- name: oldest_track_day
SELECT min(to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD'))
FROM pg_inherits WHERE inhparent = 'tracks'::regclass;

-- name: sizes
-- Every table of ours with its indexes; a partitioned one with its partitions.
SELECT c.relname AS name,
       CASE c.relkind
           WHEN 'p' THEN (SELECT sum(pg_total_relation_size(t.relid))::bigint FROM pg_partition_tree(c.oid) t)
           ELSE pg_total_relation_size(c.oid)
       END AS size_bytes
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace;
