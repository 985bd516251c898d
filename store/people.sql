-- name: listing
SELECT p.name, p.role, p.created, p.disabled,
       (SELECT max(l.last_seen) FROM logins l WHERE l.person = p.name) AS last_seen
  FROM people p ORDER BY p.created, p.name

-- name: any_at_all
SELECT EXISTS (SELECT FROM people) AS there

-- name: lock_all
-- So that two admins cannot take each other's role away at once.
SELECT pg_advisory_xact_lock(hashtext('people'))

-- name: get
SELECT name, role, password, disabled FROM people WHERE lower(name) = lower(%(name)s)

-- name: add
INSERT INTO people (name, password, role) VALUES (%(name)s, %(password)s, %(role)s) ON CONFLICT DO NOTHING
RETURNING name, role

-- name: set_password
UPDATE people SET password = %(password)s WHERE name = %(name)s AND disabled IS NULL RETURNING name, role

-- name: update
UPDATE people SET role = COALESCE(%(role)s, role),
       disabled = CASE WHEN %(disabled)s THEN COALESCE(disabled, clock_timestamp())
                       WHEN NOT %(disabled)s THEN NULL ELSE disabled END
 WHERE name = %(name)s RETURNING name

-- name: has_admin
SELECT EXISTS (SELECT FROM people WHERE role = 'admin' AND disabled IS NULL) AS there

-- name: begin_login
INSERT INTO logins (hash, person, expires_at, user_agent)
VALUES (%(hash)s, %(person)s, clock_timestamp() + make_interval(secs => %(seconds)s), %(user_agent)s)

-- name: sweep_logins
DELETE FROM logins WHERE expires_at < clock_timestamp()

-- name: use_login
-- Whose login this is, if it is valid now. That it was used is noted once a minute, lest every page write.
WITH found AS (
    SELECT l.hash, l.last_seen, p.name, p.role FROM logins l JOIN people p ON p.name = l.person
     WHERE l.hash = %(hash)s AND l.expires_at > clock_timestamp() AND p.disabled IS NULL
       AND l.last_seen > clock_timestamp() - make_interval(secs => %(idle_seconds)s)
), used AS (
    UPDATE logins l SET last_seen = clock_timestamp() FROM found f
     WHERE l.hash = f.hash AND f.last_seen < clock_timestamp() - interval '1 minute'
)
SELECT name, role FROM found

-- name: end_login
DELETE FROM logins WHERE hash = %(hash)s

-- name: end_logins
DELETE FROM logins WHERE person = %(person)s

-- name: add_link
INSERT INTO login_links (hash, role, person, expires_at)
VALUES (%(hash)s, COALESCE((SELECT role FROM people WHERE name = %(person)s), %(role)s), %(person)s,
        clock_timestamp() + make_interval(secs => %(seconds)s))
RETURNING role, person, expires_at

-- name: sweep_links
DELETE FROM login_links WHERE expires_at < clock_timestamp() - interval '1 day'

-- name: get_link
SELECT role, person FROM login_links WHERE hash = %(hash)s AND used_at IS NULL AND expires_at > clock_timestamp()

-- name: use_link
UPDATE login_links SET used_at = clock_timestamp()
 WHERE hash = %(hash)s AND used_at IS NULL AND expires_at > clock_timestamp()
RETURNING role, person

-- name: count_try
-- Counts a try as failed before the password is looked at, so that many at once are counted, too; one that comes while
-- it is locked changes nothing. Answers the seconds for which it is locked already.
INSERT INTO failed_logins AS f (who, failures, last_failure, locked_until)
VALUES (%(who)s, 1, clock_timestamp(), clock_timestamp())
ON CONFLICT (who) DO UPDATE
   SET failures = CASE WHEN f.last_failure < clock_timestamp() - interval '1 day' THEN 1 ELSE f.failures + 1 END,
       last_failure = clock_timestamp(),
       locked_until = CASE WHEN f.last_failure < clock_timestamp() - interval '1 day' OR f.failures + 1 < %(free)s
                           THEN clock_timestamp()
                           ELSE clock_timestamp() + make_interval(secs => LEAST(%(most_seconds)s,
                                %(first_seconds)s * 2 ^ LEAST(f.failures + 1 - %(free)s, 20))) END
 WHERE f.locked_until <= clock_timestamp()
RETURNING failures

-- name: locked_for
SELECT EXTRACT(epoch FROM locked_until - clock_timestamp())::float AS seconds FROM failed_logins WHERE who = %(who)s

-- name: forget_tries
DELETE FROM failed_logins WHERE who = ANY (%(who)s)

-- name: bound_tries
DELETE FROM failed_logins
 WHERE last_failure < clock_timestamp() - interval '1 day'
    OR who IN (SELECT who FROM failed_logins ORDER BY last_failure DESC OFFSET %(most)s)
