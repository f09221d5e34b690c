-- name: personal
SELECT id, region, kind, salt, document FROM personal WHERE id = ANY ($1) AND erased_at IS NULL;

-- name: erase
-- The row stays as a mark that something was here; salt and document go, and the audit says who did it.
WITH gone AS (
    UPDATE personal SET salt = NULL, document = NULL, erased_at = $3, erased_by = $2
    WHERE id = $1 AND erased_at IS NULL
    RETURNING id
)
INSERT INTO audit (at, actor, action, subject)
SELECT $3, $2, 'erased', 'personal:' || id FROM gone
RETURNING subject;

-- name: audit
INSERT INTO audit (at, actor, action, subject)
SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[]);

-- name: audited
SELECT at, actor, action, subject FROM audit WHERE subject = $1 ORDER BY at DESC LIMIT $2;

-- name: keep_contact
INSERT INTO contacts (contact_id, region, at, actor, door, content_type, raw, fault)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (contact_id) DO NOTHING;

-- name: contacts
-- Those that wait, oldest first, after the place ($2, $3) or from the beginning.
SELECT contact_id, region, at, actor, door, content_type, raw, fault, settled_at, settled_by
FROM contacts
WHERE settled_at IS NULL
  AND ($1::text IS NULL OR region = $1)
  AND ($2::timestamptz IS NULL OR (at, contact_id) > ($2, $3::text))
ORDER BY at, contact_id
LIMIT $4;

-- name: settle_contact
UPDATE contacts SET settled_at = $3, settled_by = $2
WHERE contact_id = $1 AND settled_at IS NULL
  AND ($4::text[] IS NULL OR region IS NULL OR region = ANY($4))
RETURNING contact_id;

-- name: make_track_day
SELECT make_track_day($1, $2);

-- name: track
SELECT unit_id, at, lat, lon, accuracy_m, speed_m_s, heading
FROM tracks
WHERE unit_id = $1 AND at >= $2 AND at < $3
ORDER BY at
LIMIT $4;

-- name: last_tracks
-- One step down the index for each unit; the partitions are in the order of time, so older days are not touched.
SELECT last.unit_id, last.at, last.lat, last.lon, last.accuracy_m, last.speed_m_s, last.heading
FROM unnest($1::text[]) AS asked (unit_id)
CROSS JOIN LATERAL (
    SELECT * FROM tracks WHERE tracks.unit_id = asked.unit_id AND tracks.at >= $2 ORDER BY tracks.at DESC LIMIT 1
) AS last;
