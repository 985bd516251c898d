-- name: begin
-- Takes the key, or waits for who has it just now; no row when the answer is there already.
INSERT INTO repeatable_requests (caller, key, digest) VALUES (%(caller)s, %(key)s, %(digest)s)
ON CONFLICT DO NOTHING RETURNING key

-- name: known
SELECT digest, answer FROM repeatable_requests WHERE caller = %(caller)s AND key = %(key)s

-- name: finish
WITH forgotten AS (
    DELETE FROM repeatable_requests WHERE created < clock_timestamp() - interval '1 day'
)
UPDATE repeatable_requests SET answer = %(answer)s WHERE caller = %(caller)s AND key = %(key)s
