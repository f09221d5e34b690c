-- The database of the dispatch service: plain Postgres 15 or newer, no extensions, server encoding UTF8.
--
-- How to read it. `events` is the truth: what happened in each region, in order, never changed. Everything
-- under "Read models" is written in the same transaction as the events that caused it, so that lists and
-- reports are always true, and could be made again from the events. Personal data stands apart, so that it can
-- be erased while the journal stays whole. Identifiers are text made by the program; times are UTC.
-- `dispatch112 migrate` applies this file to an empty database, or brings an older one here by numbered steps.

CREATE TABLE schema_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_version IS 'Which versions of this schema have been applied; the largest is the present one.';
INSERT INTO schema_version (version) VALUES (2);

-- Journal -------------------------------------------------------------------------------------------------
CREATE TABLE leaders (
    region     text        PRIMARY KEY,
    epoch      bigint      NOT NULL CHECK (epoch > 0),  -- grows by one with each claim, never falls
    holder     text        NOT NULL,                    -- the process that may write this region
    address    text        NOT NULL DEFAULT '',         -- where it answers by HTTP, for gateways; '' before its door opens
    expires_at timestamptz NOT NULL                     -- on this server's clock, the only one that all agree on
) WITH (fillfactor = 50);
COMMENT ON TABLE leaders IS 'Who may write a region now. An append holds its row, and with another epoch is refused.';

CREATE TABLE processes (
    holder     text        PRIMARY KEY,
    address    text        NOT NULL,                    -- where it answers by HTTP; '' before its door opens
    secret     text        NOT NULL,                    -- what another process shows to be let in as one of us
    regions    text[]      NOT NULL,                    -- which it may lead
    expires_at timestamptz NOT NULL                     -- prolonged with its leases, so it ends when they do
) WITH (fillfactor = 50);
COMMENT ON TABLE processes IS 'The core processes that live now: they share the regions among themselves.';

CREATE TABLE heads (
    region text   PRIMARY KEY,
    seq    bigint NOT NULL CHECK (seq >= 0),                    -- the last event's number, 0 before the first
    hash   bytea  NOT NULL CHECK (octet_length(hash) = 32)      -- the last event's hash, 32 zero bytes before it
) WITH (fillfactor = 50);
COMMENT ON TABLE heads IS 'Where the journal of each region ends: the next event continues here, without a gap.';

CREATE TABLE events (
    region  text        NOT NULL,
    seq     bigint      NOT NULL CHECK (seq > 0),
    at      timestamptz NOT NULL,
    kind    text        NOT NULL,                               -- such as call_received
    payload json        NOT NULL,                               -- json, not jsonb: kept byte for byte for the hash
    actor   text        NOT NULL,                               -- user:…, device:…, unit:… or system
    epoch   bigint      NOT NULL,                               -- of the leader who wrote it
    hash    bytea       NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (region, seq)
);
COMMENT ON TABLE events IS 'What happened, in order, each chained to the one before by its hash. Rows are never changed.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'the journal is only ever added to' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE snapshots (
    region text   NOT NULL,
    seq    bigint NOT NULL CHECK (seq > 0),
    hash   bytea  NOT NULL,                                     -- of the event `seq`, so that the tail can be verified
    state  bytea  NOT NULL,
    PRIMARY KEY (region, seq)
);
COMMENT ON TABLE snapshots IS 'A region''s whole state after an event, so that a new leader reads little. The newest three stay.';

CREATE TABLE decisions (
    region      text        NOT NULL,
    seq         bigint      NOT NULL,                           -- the event that carries the digest
    digest      bytea       NOT NULL,
    at          timestamptz NOT NULL,
    incident_id text        NOT NULL,
    inputs      bytea       NOT NULL,                           -- map and weights version, candidates, travel times
    PRIMARY KEY (region, seq, digest)
);
CREATE INDEX decisions_by_age ON decisions (at);
COMMENT ON TABLE decisions IS 'What each recommendation was made from, so that a replay can make it again. Dropped by age.';

CREATE TABLE answers (
    actor     text        NOT NULL,
    key       text        NOT NULL,                             -- the Idempotency-Key as sent
    region    text        NOT NULL,
    body_hash bytea       NOT NULL,                             -- of the first body, to tell a repetition from a reuse
    status    smallint    NOT NULL,
    body      bytea       NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
);
CREATE INDEX answers_by_age ON answers (at);
COMMENT ON TABLE answers IS 'The first answer to each idempotency key, committed with what it answers. Kept 24 hours.';

-- Personal data -------------------------------------------------------------------------------------------
CREATE TABLE personal (
    id        text        PRIMARY KEY,
    region    text        NOT NULL,
    kind      text        NOT NULL CHECK (kind IN (
        'call',                                                 -- caller's number, name and words
        'note',                                                 -- free text that a person added to an incident
        'contact')),                                            -- whom to ring back
    salt      bytea,                                            -- NULL once erased: the commitment says nothing then
    document  bytea,                                            -- canonical JSON; NULL once erased
    erased_at timestamptz,
    erased_by text,
    CHECK ((document IS NULL) = (erased_at IS NOT NULL))
);
COMMENT ON TABLE personal IS 'Names, numbers, words. Events carry a salted commitment: a row can be erased, the chain holds.';

CREATE TABLE contacts (
    contact_id   text        PRIMARY KEY,
    region       text,                                          -- NULL when nothing told where it came from
    at           timestamptz NOT NULL,
    actor        text        NOT NULL,                          -- who sent it, such as device:…
    door         text        NOT NULL,                          -- http, aml, mqtt, spool
    content_type text        NOT NULL,
    raw          bytea       NOT NULL CHECK (octet_length(raw) <= 65536),
    fault        text        NOT NULL,                          -- why it could not be understood
    settled_at   timestamptz,                                   -- NULL while it waits for a supervisor
    settled_by   text
);
CREATE INDEX contacts_waiting ON contacts (at, contact_id) WHERE settled_at IS NULL;
CREATE INDEX contacts_settled ON contacts (settled_at) WHERE settled_at IS NOT NULL;
COMMENT ON TABLE contacts IS 'What could not be understood, kept raw for a supervisor: nobody in need is lost for a comma.';

CREATE TABLE audit (
    at      timestamptz NOT NULL,
    actor   text        NOT NULL,
    action  text        NOT NULL,                               -- read, listed, exported, erased, logged_in, …
    subject text        NOT NULL                                -- what was read, such as call:… or personal:…
);
CREATE INDEX audit_by_subject ON audit (subject, at);
CREATE INDEX audit_by_age ON audit (at);
COMMENT ON TABLE audit IS 'Who read or erased which personal data, and when.';

-- Read models ---------------------------------------------------------------------------------------------
-- `doc` holds what lists and cards show beside the columns. Status values are moved by dispatch/core/lifecycle.py.

CREATE TABLE calls (
    call_id       text        PRIMARY KEY,
    region        text        NOT NULL,
    status        text        NOT NULL CHECK (status IN (
        'ringing',                                              -- a voice contact arrives
        'queued',                                               -- any other contact arrives
        'claimed',                                              -- a call taker says: mine
        'answered',                                             -- the call taker speaks with the caller
        'held',                                                 -- the call taker parks it
        'transferred',                                          -- it is passed to another taker or body
        'abandoned',                                            -- the caller hangs up before an answer
        'calling_back',                                         -- somebody rings an abandoned caller
        'linked',                                               -- it joins an incident
        'closed')),                                             -- it ends with a disposition
    channel       text        NOT NULL,
    at            timestamptz NOT NULL,
    closed_at     timestamptz,
    incident_id   text,
    priority      text,
    incident_type text,
    disposition   text,
    doc           jsonb       NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX calls_by_time ON calls (at, call_id);
CREATE INDEX calls_by_status ON calls (region, status, at);
CREATE INDEX calls_by_incident ON calls (incident_id) WHERE incident_id IS NOT NULL;
COMMENT ON TABLE calls IS 'One row a contact, as it is now.';

CREATE TABLE incidents (
    incident_id   text        PRIMARY KEY,
    region        text        NOT NULL,
    number        bigint      NOT NULL,
    status        text        NOT NULL CHECK (status IN (
        'open',                                                 -- opened, or all its units are gone and work is left
        'pending_units',                                        -- it needs units and waits in the region's queue
        'dispatched',                                           -- every needed unit is assigned
        'on_scene',                                             -- the first unit arrives
        'under_control',                                        -- the crew in charge says so
        'closed')),                                             -- it ends with a disposition, or is merged
    priority      text        NOT NULL,
    incident_type text        NOT NULL,
    opened_at     timestamptz NOT NULL,
    closed_at     timestamptz,
    disposition   text,
    doc           jsonb       NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX incidents_by_time ON incidents (opened_at, incident_id);
CREATE INDEX incidents_by_status ON incidents (region, status, opened_at);
COMMENT ON TABLE incidents IS 'One row for each thing that needs help, as it is now.';

CREATE TABLE units (
    unit_id     text PRIMARY KEY,
    region      text NOT NULL,
    body        text NOT NULL,
    status      text NOT NULL CHECK (status IN (
        'available',                                            -- on shift, or home again
        'dispatched',                                           -- an assignment is made
        'acknowledged',                                         -- the crew accepts the order
        'en_route',                                             -- it drives
        'on_scene',                                             -- it arrives
        'transporting',                                         -- it leaves with a patient
        'at_facility',                                          -- it reaches the hospital
        'returning',                                            -- its assignment is cleared, it drives home
        'out_of_service')),                                     -- off shift, broken, or resting
    call_sign   text NOT NULL,
    kind        text NOT NULL,
    incident_id text,
    doc         jsonb NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX units_by_region ON units (region, body);
COMMENT ON TABLE units IS 'One row a crewed vehicle, as it is now. Its position is not here: positions are not events.';

CREATE TABLE assignments (
    assignment_id text        PRIMARY KEY,
    region        text        NOT NULL,
    incident_id   text        NOT NULL,
    unit_id       text        NOT NULL,
    body          text        NOT NULL,
    status        text        NOT NULL,                         -- the unit's status for this piece of work
    assigned_at   timestamptz NOT NULL,
    accepted_at   timestamptz,
    on_scene_at   timestamptz,
    cleared_at    timestamptz,                                  -- NULL while the assignment is live
    doc           jsonb       NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX assignments_one_live_a_unit ON assignments (unit_id) WHERE cleared_at IS NULL;
CREATE INDEX assignments_by_incident ON assignments (incident_id);
CREATE INDEX assignments_by_time ON assignments (assigned_at, assignment_id);
COMMENT ON TABLE assignments IS 'One unit on one incident. The unique index makes two live assignments of one unit impossible.';

CREATE TABLE orders (
    order_id      text        PRIMARY KEY,
    region        text        NOT NULL,
    unit_id       text        NOT NULL,
    kind          text        NOT NULL,                         -- dispatch, recall, divert, move_up, message
    status        text        NOT NULL CHECK (status IN (
        'pending',                                              -- committed, not yet handed to the broker
        'sent',                                                 -- handed to the broker
        'delivered',                                            -- the unit's device has it
        'seen',                                                 -- the crew looked at it
        'accepted',                                             -- the crew takes it
        'refused')),                                            -- the crew cannot, with a reason
    sends         integer     NOT NULL,                         -- how often it was handed to the broker
    at            timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    assignment_id text,                                         -- NULL for a message or a move-up
    doc           jsonb       NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX orders_by_time ON orders (at, order_id);
CREATE INDEX orders_by_unit ON orders (unit_id, at);
COMMENT ON TABLE orders IS 'What units were told. An order is sent again until its unit answers.';

CREATE TABLE tracks (
    unit_id    text             NOT NULL,
    at         timestamptz      NOT NULL,                       -- of the fix
    lat        double precision NOT NULL,
    lon        double precision NOT NULL,
    accuracy_m real,
    speed_m_s  real,
    heading    real                                             -- degrees clockwise from north
) PARTITION BY RANGE (at);
CREATE INDEX tracks_by_unit ON tracks (unit_id, at);
COMMENT ON TABLE tracks IS 'Where units were, thinned. One partition a day (UTC), made at its first fix, dropped by age.';

-- Access --------------------------------------------------------------------------------------------------
CREATE TABLE operators (
    username text PRIMARY KEY,
    role     text NOT NULL,                                     -- as dispatch/actors.py lists them
    body     text,                                              -- for role body: which of the five
    regions  text[] NOT NULL,                                   -- where they work; * means every region
    language text NOT NULL,
    password text NOT NULL,                                     -- argon2id, as its own text with parameters and salt
    active   boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE operators IS 'People who log in.';

CREATE TABLE sessions (
    token      bytea       PRIMARY KEY,                         -- sha256 of the cookie; the cookie itself is nowhere
    username   text        NOT NULL REFERENCES operators ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_by_operator ON sessions (username);
CREATE INDEX sessions_by_age ON sessions (expires_at);
COMMENT ON TABLE sessions IS 'Log-ins that are valid now; deleting a row ends one at once.';

CREATE TABLE devices (
    token    bytea PRIMARY KEY,                                 -- sha256 of the bearer token or key
    actor    text  NOT NULL,                                    -- device:…, unit:… or user:…
    role     text  NOT NULL,
    body     text,
    regions  text[] NOT NULL,
    active   boolean NOT NULL DEFAULT true
);
CREATE INDEX devices_by_actor ON devices (actor);
COMMENT ON TABLE devices IS 'Programs, vehicles and other machines, each with a key of its own.';

-- Append --------------------------------------------------------------------------------------------------
-- One batch in one round trip: `SELECT * FROM append_batch(...)` is one statement and so one transaction.
-- The first five arrays hold one entry a region: its epoch, its first and last event in the batch, the last hash.
-- It returns the regions that may not write this, with the reason, and then has written nothing at all: the
-- caller leaves them out and sends the rest again. It returns no row when everything is written. A key that has
-- an answer already undoes all of it with the error KR001.
-- A row type is a table's own, so the program sends rows in column order.
CREATE FUNCTION append_batch(
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

-- Days of tracks ------------------------------------------------------------------------------------------
-- Makes the partition of a day unless it is there. FALSE when there are already as many days as the table may
-- have: a device with a wrong clock must not fill the catalogue.
CREATE FUNCTION make_track_day(day date, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE partition text := 'tracks_' || to_char(day, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tracks'));
    IF to_regclass(partition) IS NOT NULL THEN RETURN true; END IF;
    IF (SELECT count(*) FROM pg_inherits WHERE inhparent = 'tracks'::regclass) >= most THEN RETURN false; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF tracks FOR VALUES FROM (%L) TO (%L)', partition,
                   day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN true;
END $$;

-- Drops the partitions of the days before `oldest` and says how many they were.
CREATE FUNCTION drop_track_days(oldest date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE partition text; dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tracks'));
    FOR partition IN
        SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'tracks'::regclass LOOP
        CONTINUE WHEN to_date(right(partition, 8), 'YYYYMMDD') >= oldest;
        EXECUTE 'DROP TABLE ' || partition;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
