-- From version 1 to 2: core processes know of each other, and a key is answered once whoever answers it.

CREATE TABLE processes (
    holder     text        PRIMARY KEY,
    address    text        NOT NULL,                    -- where it answers by HTTP; '' before its door opens
    secret     text        NOT NULL,                    -- what another process shows to be let in as one of us
    regions    text[]      NOT NULL,                    -- which it may lead
    expires_at timestamptz NOT NULL                     -- prolonged with its leases, so it ends when they do
) WITH (fillfactor = 50);
COMMENT ON TABLE processes IS 'The core processes that live now: they share the regions among themselves.';

-- One batch in one round trip: `SELECT * FROM append_batch(...)` is one statement and so one transaction.
-- The first five arrays hold one entry a region: its epoch, its first and last event in the batch, the last hash.
-- It returns the regions that may not write this, with the reason, and then has written nothing at all: the
-- caller leaves them out and sends the rest again. It returns no row when everything is written. A key that has
-- an answer already undoes all of it with the error KR001.
-- A row type is a table's own, so the program sends rows in column order.
CREATE OR REPLACE FUNCTION append_batch(
    led_regions text[], led_epochs bigint[], first_seqs bigint[], last_seqs bigint[], last_hashes bytea[],
    new_events events[], new_calls calls[], new_incidents incidents[], new_units units[],
    new_assignments assignments[], new_orders orders[],
    new_answers answers[], new_personal personal[], new_decisions decisions[]
) RETURNS TABLE (refused_region text, reason text) LANGUAGE plpgsql AS $$
DECLARE kept bigint;
BEGIN
    -- Fencing. Rows are locked in the order of their regions, so two appends cannot wait for each other.
    IF cardinality(led_regions) > 0 THEN
        RETURN QUERY
        SELECT n.region,
               CASE WHEN held.epoch IS NULL THEN 'unled' WHEN held.epoch <> n.epoch THEN 'stale_epoch' ELSE 'gap' END
        FROM unnest(led_regions, led_epochs, first_seqs) AS n (region, epoch, first_seq)
        LEFT JOIN (
            SELECT l.region, l.epoch, h.seq
            FROM leaders l JOIN heads h ON h.region = l.region
            WHERE l.region = ANY (led_regions)
            ORDER BY l.region
            FOR SHARE OF l FOR UPDATE OF h
        ) AS held ON held.region = n.region
        WHERE held.epoch IS DISTINCT FROM n.epoch OR held.seq IS DISTINCT FROM n.first_seq - 1;
        IF FOUND THEN RETURN; END IF;

        INSERT INTO events SELECT * FROM unnest(new_events);
        UPDATE heads h SET seq = n.seq, hash = n.hash
        FROM unnest(led_regions, last_seqs, last_hashes) AS n (region, seq, hash)
        WHERE h.region = n.region;
    END IF;

    IF cardinality(new_answers) > 0 THEN
        -- The first answer to a key stands. Whoever comes second must not add its events either, or one request
        -- would lead to two calls: everything is undone, and the caller finds out which keys they were.
        INSERT INTO answers SELECT * FROM unnest(new_answers) ON CONFLICT (actor, key) DO NOTHING;
        GET DIAGNOSTICS kept = ROW_COUNT;
        IF kept < cardinality(new_answers) THEN
            RAISE EXCEPTION 'a key has its answer already' USING ERRCODE = 'KR001';
        END IF;
    END IF;

    IF cardinality(new_calls) > 0 THEN
        INSERT INTO calls SELECT * FROM unnest(new_calls) ON CONFLICT (call_id) DO UPDATE SET
            region = excluded.region, status = excluded.status, channel = excluded.channel, at = excluded.at,
            closed_at = excluded.closed_at, incident_id = excluded.incident_id, priority = excluded.priority,
            incident_type = excluded.incident_type, disposition = excluded.disposition, doc = excluded.doc;
    END IF;
    IF cardinality(new_incidents) > 0 THEN
        INSERT INTO incidents SELECT * FROM unnest(new_incidents) ON CONFLICT (incident_id) DO UPDATE SET
            region = excluded.region, number = excluded.number, status = excluded.status,
            priority = excluded.priority, incident_type = excluded.incident_type, opened_at = excluded.opened_at,
            closed_at = excluded.closed_at, disposition = excluded.disposition, doc = excluded.doc;
    END IF;
    IF cardinality(new_units) > 0 THEN
        INSERT INTO units SELECT * FROM unnest(new_units) ON CONFLICT (unit_id) DO UPDATE SET
            region = excluded.region, body = excluded.body, status = excluded.status,
            call_sign = excluded.call_sign, kind = excluded.kind, incident_id = excluded.incident_id, doc = excluded.doc;
    END IF;
    IF cardinality(new_assignments) > 0 THEN
        -- A unit cleared and sent again in one batch: the cleared row must leave the unique index first.
        INSERT INTO assignments
        SELECT n.* FROM unnest(new_assignments) AS n ORDER BY (n).cleared_at IS NULL
        ON CONFLICT (assignment_id) DO UPDATE SET
            region = excluded.region, incident_id = excluded.incident_id, unit_id = excluded.unit_id,
            body = excluded.body, status = excluded.status, assigned_at = excluded.assigned_at,
            accepted_at = excluded.accepted_at, on_scene_at = excluded.on_scene_at, cleared_at = excluded.cleared_at,
            doc = excluded.doc;
    END IF;
    IF cardinality(new_orders) > 0 THEN
        INSERT INTO orders SELECT * FROM unnest(new_orders) ON CONFLICT (order_id) DO UPDATE SET
            region = excluded.region, unit_id = excluded.unit_id, kind = excluded.kind, status = excluded.status,
            sends = excluded.sends, at = excluded.at, expires_at = excluded.expires_at,
            assignment_id = excluded.assignment_id, doc = excluded.doc;
    END IF;

    IF cardinality(new_personal) > 0 THEN  -- What was erased stays erased, whoever sends it again.
        INSERT INTO personal SELECT * FROM unnest(new_personal) ON CONFLICT (id) DO NOTHING;
    END IF;
    IF cardinality(new_decisions) > 0 THEN
        INSERT INTO decisions SELECT * FROM unnest(new_decisions) ON CONFLICT DO NOTHING;
    END IF;
END $$;

INSERT INTO schema_version (version) VALUES (2);
