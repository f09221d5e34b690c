-- name: put_operator
INSERT INTO operators (username, role, password, body, regions, language, active)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (username) DO UPDATE SET
    role = excluded.role, password = excluded.password, body = excluded.body, regions = excluded.regions,
    language = excluded.language, active = excluded.active;

-- name: get_operator
SELECT username, role, password, body, regions, language, active FROM operators WHERE username = $1;

-- name: list_operators
SELECT username, role, password, body, regions, language, active FROM operators ORDER BY username;

-- name: put_session
INSERT INTO sessions (token, username, created_at, expires_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (token) DO UPDATE SET expires_at = excluded.expires_at;

-- name: get_session
SELECT token, username, created_at, expires_at FROM sessions WHERE token = $1;

-- name: drop_session
DELETE FROM sessions WHERE token = $1;

-- name: drop_sessions
WITH ended AS (DELETE FROM sessions WHERE username = $1 RETURNING 1)
SELECT count(*) FROM ended;

-- name: put_device
INSERT INTO devices (token, actor, role, body, regions, active)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (token) DO UPDATE SET
    actor = excluded.actor, role = excluded.role, body = excluded.body, regions = excluded.regions,
    active = excluded.active;

-- name: get_device
SELECT token, actor, role, body, regions, active FROM devices WHERE token = $1;

-- name: list_devices
SELECT token, actor, role, body, regions, active FROM devices ORDER BY actor, token;

-- name: drop_device
DELETE FROM devices WHERE token = $1;
