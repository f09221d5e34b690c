-- Each query drops at most $2 rows older than $1 and says how many, so that no step holds locks for long.

-- name: answers
WITH gone AS (
    DELETE FROM answers WHERE ctid = ANY (ARRAY(SELECT ctid FROM answers WHERE at < $1 LIMIT $2)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: decisions
WITH gone AS (
    DELETE FROM decisions WHERE ctid = ANY (ARRAY(SELECT ctid FROM decisions WHERE at < $1 LIMIT $2)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: sessions
WITH gone AS (
    DELETE FROM sessions
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM sessions WHERE expires_at < $1 LIMIT $2)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: contacts
WITH gone AS (
    DELETE FROM contacts
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM contacts WHERE settled_at < $1 LIMIT $2)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: audit
WITH gone AS (
    DELETE FROM audit WHERE ctid = ANY (ARRAY(SELECT ctid FROM audit WHERE at < $1 LIMIT $2)) RETURNING 1
)
SELECT count(*) FROM gone;

-- name: tracks
-- Whole days at once: dropping a partition costs the same whatever is in it.
SELECT drop_track_days($1::date);
