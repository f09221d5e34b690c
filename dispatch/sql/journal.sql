-- name: append
-- One batch, one statement, one transaction; the function stands in schema.sql.
SELECT refused_region, reason
FROM append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: answered
-- A page of the keys that have an answer of these regions: 16 bytes of the SHA-256 of actor, line feed and key.
SELECT coalesce(
           string_agg(substring(sha256(convert_to(actor || chr(10) || key, 'UTF8')) FOR 16), ''::bytea
                      ORDER BY actor, key),
           '') AS digests,
       count(*) AS found,
       (array_agg(actor ORDER BY actor DESC, key DESC))[1] AS last_actor,
       (array_agg(key ORDER BY actor DESC, key DESC))[1] AS last_key
FROM (
    SELECT actor, key FROM answers
    WHERE region = ANY ($1) AND (actor, key) > ($2, $3)
    ORDER BY actor, key
    LIMIT $4
) AS page;

-- name: bury
-- Ends what is left of a writer that lost its line, and waits for it (5 s): after this nothing of it can commit.
-- The name is one store's own, so another process is never hit. FALSE: it still lives.
SELECT coalesce(bool_and(pg_terminate_backend(pid, 5000)), true)
FROM pg_stat_activity
WHERE application_name = $1 AND pid <> pg_backend_pid();

-- name: be_durable
-- An acknowledged event is on disk; a server set to less than that is overruled, one set to more is left alone.
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') IN ('off', 'local');

-- name: head
SELECT seq, hash FROM heads WHERE region = $1;

-- name: heads
SELECT region, seq, hash FROM heads ORDER BY region;

-- name: latest
-- The newest event of each region is one look-up by key.
SELECT max(e.at) FROM heads h JOIN events e ON e.region = h.region AND e.seq = h.seq;

-- name: load
-- One statement, so that snapshot and head are of one moment.
SELECT h.seq AS head_seq, h.hash AS head_hash, s.seq AS snapshot_seq, s.hash AS snapshot_hash, s.state
FROM heads h
LEFT JOIN LATERAL (
    SELECT seq, hash, state FROM snapshots WHERE region = h.region ORDER BY seq DESC LIMIT 1
) AS s ON true
WHERE h.region = $1;

-- name: events
SELECT region, seq, at, kind, payload, actor, epoch, hash
FROM events
WHERE region = $1 AND seq > $2
ORDER BY seq
LIMIT $3;

-- name: snapshot
-- Takes the hash from the journal itself: a state of something not committed finds no row and is not kept.
INSERT INTO snapshots (region, seq, hash, state)
SELECT e.region, e.seq, e.hash, $3 FROM events e WHERE e.region = $1 AND e.seq = $2
ON CONFLICT (region, seq) DO UPDATE SET state = excluded.state
RETURNING seq;

-- name: drop_snapshots
-- All but the newest $2 of a region.
DELETE FROM snapshots
WHERE region = $1
  AND seq < (SELECT min(seq) FROM (SELECT seq FROM snapshots WHERE region = $1 ORDER BY seq DESC LIMIT $2) AS newest);

-- name: decisions
SELECT region, seq, digest, at, incident_id, inputs
FROM decisions
WHERE region = $1 AND seq > $2
ORDER BY seq, digest
LIMIT $3;

-- name: claim
-- clock_timestamp and not now(): the statement may have waited for an append to finish.
-- The same holder may claim again, after a restart under its old name; the epoch grows all the same.
-- $5 is a holder that is dead, $6 its epoch, $7 when its lease was seen to end: unless it has renewed it since.
INSERT INTO leaders AS l (region, epoch, holder, address, expires_at)
VALUES ($1, 1, $2, $4, clock_timestamp() + $3::float8 * interval '1 second')
ON CONFLICT (region) DO UPDATE
    SET epoch = l.epoch + 1, holder = excluded.holder, address = excluded.address,
        expires_at = clock_timestamp() + $3::float8 * interval '1 second'
    WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
        OR (l.holder = $5 AND l.epoch = $6 AND l.expires_at = $7)
RETURNING epoch;

-- name: begin_journal
-- A region that is led for the first time has a journal of no events.
INSERT INTO heads (region, seq, hash) VALUES ($1, 0, $2) ON CONFLICT (region) DO NOTHING;

-- name: renew
-- A lease that has run out is prolonged if nobody took it: nobody has written since, for each claim raises the
-- epoch. What was given up by `release` is not: its expiry is the beginning of time.
-- Rows are locked in the order of their regions, as append_batch does: in any other order it and we may each hold
-- what the other waits for, and nobody's call is committed until the server looks for such a knot, a second later.
WITH held AS (
    SELECT region FROM leaders WHERE region = ANY ($1) AND holder = $2 AND expires_at > '-infinity'
    ORDER BY region FOR NO KEY UPDATE
)
UPDATE leaders l SET expires_at = clock_timestamp() + $3::float8 * interval '1 second', address = $4
FROM held WHERE l.region = held.region
RETURNING l.region;

-- name: release
-- Locked in the order of their regions, as in `renew`.
WITH held AS (
    SELECT region FROM leaders WHERE region = ANY ($1) AND holder = $2 ORDER BY region FOR NO KEY UPDATE
)
UPDATE leaders l SET expires_at = '-infinity' FROM held WHERE l.region = held.region;

-- name: attend
-- Whoever did not say good-bye is forgotten here a minute after its end.
WITH gone AS (DELETE FROM processes WHERE expires_at < clock_timestamp() - interval '1 minute' AND holder <> $1)
INSERT INTO processes (holder, address, secret, regions, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5::float8 * interval '1 second')
ON CONFLICT (holder) DO UPDATE SET
    address = excluded.address, secret = excluded.secret, regions = excluded.regions,
    expires_at = clock_timestamp() + $5::float8 * interval '1 second';

-- name: depart
DELETE FROM processes WHERE holder = $1;

-- name: leadership
-- The live leases (with a region) and the live processes (without one), of one moment.
SELECT region, epoch, holder, address, '' AS secret, '{}'::text[] AS regions,
    expires_at, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s
FROM leaders WHERE expires_at > clock_timestamp()
UNION ALL
SELECT NULL, 0, holder, address, secret, regions, expires_at, 0
FROM processes WHERE expires_at > clock_timestamp()
ORDER BY 1, 3;

-- name: recall
SELECT a.actor, a.key, a.region, a.body_hash, a.status, a.body, a.at
FROM answers a
JOIN unnest($1::text[], $2::text[]) AS asked (actor, key) ON a.actor = asked.actor AND a.key = asked.key;
