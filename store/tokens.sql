-- name: create
INSERT INTO tokens (name, hash, scopes, expires_at)
VALUES (%(name)s, %(hash)s, %(scopes)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
RETURNING id, name, scopes, created, expires_at, revoked_at, last_used

-- name: use
-- Who a token is of, if it is valid now. That it was used is noted once a minute, lest every request write.
WITH found AS (
    SELECT id, name, scopes, last_used, expires_at FROM tokens
     WHERE hash = %(hash)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
), used AS (
    UPDATE tokens t SET last_used = clock_timestamp() FROM found f
     WHERE t.id = f.id AND (f.last_used IS NULL OR f.last_used < clock_timestamp() - interval '1 minute')
)
SELECT id, name, scopes, EXTRACT(epoch FROM expires_at - clock_timestamp())::float AS seconds_left FROM found

-- name: listing
SELECT id, name, scopes, created, expires_at, revoked_at, last_used FROM tokens ORDER BY created DESC, id

-- name: revoke
UPDATE tokens SET revoked_at = clock_timestamp() WHERE name = %(name)s AND revoked_at IS NULL
RETURNING id, name, scopes, created, expires_at, revoked_at, last_used
