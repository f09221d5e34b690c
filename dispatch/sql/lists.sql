-- The queries of the lists and cards. A list takes first the place to go on from, its limit, and then one array
-- a filter in the order of LISTED in store.py; a filter that is NULL narrows nothing. The reading connections
-- plan each call with its values, so an absent filter costs nothing.

-- name: calls
SELECT * FROM calls
WHERE ($1::timestamptz IS NULL OR (at, call_id) < ($1, $2::text))
  AND ($4::text[] IS NULL OR region = ANY ($4))
  AND ($5::text[] IS NULL OR status = ANY ($5))
  AND ($6::text[] IS NULL OR incident_id = ANY ($6))
ORDER BY at DESC, call_id DESC
LIMIT $3;

-- name: incidents
SELECT * FROM incidents
WHERE ($1::timestamptz IS NULL OR (opened_at, incident_id) < ($1, $2::text))
  AND ($4::text[] IS NULL OR region = ANY ($4))
  AND ($5::text[] IS NULL OR status = ANY ($5))
ORDER BY opened_at DESC, incident_id DESC
LIMIT $3;

-- name: units
-- Units have no time to be ordered by: the first value is always NULL.
SELECT * FROM units
WHERE $1::timestamptz IS NULL AND ($2::text IS NULL OR unit_id > $2)
  AND ($4::text[] IS NULL OR region = ANY ($4))
  AND ($5::text[] IS NULL OR status = ANY ($5))
  AND ($6::text[] IS NULL OR body = ANY ($6))
ORDER BY unit_id
LIMIT $3;

-- name: assignments
SELECT * FROM assignments
WHERE ($1::timestamptz IS NULL OR (assigned_at, assignment_id) < ($1, $2::text))
  AND ($4::text[] IS NULL OR region = ANY ($4))
  AND ($5::text[] IS NULL OR status = ANY ($5))
  AND ($6::text[] IS NULL OR body = ANY ($6))
  AND ($7::text[] IS NULL OR incident_id = ANY ($7))
  AND ($8::text[] IS NULL OR unit_id = ANY ($8))
ORDER BY assigned_at DESC, assignment_id DESC
LIMIT $3;

-- name: orders
SELECT * FROM orders
WHERE ($1::timestamptz IS NULL OR (at, order_id) < ($1, $2::text))
  AND ($4::text[] IS NULL OR region = ANY ($4))
  AND ($5::text[] IS NULL OR status = ANY ($5))
  AND ($6::text[] IS NULL OR unit_id = ANY ($6))
ORDER BY at DESC, order_id DESC
LIMIT $3;

-- name: one_of_calls
SELECT * FROM calls WHERE call_id = $1;

-- name: one_of_incidents
SELECT * FROM incidents WHERE incident_id = $1;

-- name: one_of_units
SELECT * FROM units WHERE unit_id = $1;

-- name: one_of_assignments
SELECT * FROM assignments WHERE assignment_id = $1;

-- name: one_of_orders
SELECT * FROM orders WHERE order_id = $1;
