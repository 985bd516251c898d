-- name: add
INSERT INTO subscriptions (name, kind, target, events, agent_name, memory_types, details, position)
VALUES (%(name)s, %(kind)s, %(target)s, %(events)s, %(agent_name)s, %(memory_types)s, %(details)s, %(position)s)
ON CONFLICT DO NOTHING RETURNING *

-- name: remove
DELETE FROM subscriptions WHERE name = %(name)s

-- name: enable
-- It goes on where it stopped, so that nothing is missed, or with what is still to happen.
UPDATE subscriptions SET enabled = true, disabled_why = NULL, resting_until = NULL,
       position = COALESCE(%(position)s, position)
 WHERE name = %(name)s RETURNING *

-- name: disable
UPDATE subscriptions SET enabled = false, disabled_why = COALESCE(%(why)s, disabled_why) WHERE name = %(name)s RETURNING *

-- name: get
SELECT * FROM subscriptions WHERE name = %(name)s

-- name: listing
SELECT s.name, s.kind, s.target, s.events, s.agent_name, s.memory_types, s.details, s.enabled, s.disabled_why,
       s.resting_until, s.created,
       (SELECT count(*) FROM outgoing o WHERE o.subscription = s.name AND o.state = 'waiting') AS waiting,
       (SELECT count(*) FROM outgoing o WHERE o.subscription = s.name AND o.state = 'failed') AS failed,
       (SELECT o.delivered_at FROM outgoing o WHERE o.subscription = s.name AND o.state = 'delivered'
         ORDER BY o.number DESC LIMIT 1) AS last_delivered
  FROM subscriptions s ORDER BY s.name

-- name: log
SELECT o.id, o.event, o.subject, o.state, o.attempts, o.next_attempt_at, o.status_code, o.error_code, o.created,
       o.delivered_at
  FROM outgoing o
 WHERE o.subscription = %(name)s AND (%(state)s::text IS NULL OR o.state = %(state)s)
   AND (%(before)s::text IS NULL OR o.number < (SELECT number FROM outgoing WHERE id = %(before)s))
 ORDER BY o.number DESC LIMIT %(limit)s

-- name: replay
-- One that somebody is sending right now is left to them: its last try has no outcome yet.
WITH again AS (
    UPDATE outgoing SET state = 'waiting', attempts = 0, next_attempt_at = now(), waiting_since = now(),
           status_code = NULL, error_code = NULL, delivered_at = NULL
     WHERE id = %(id)s AND (state <> 'waiting' OR error_code IS NOT NULL) RETURNING *
), awake AS (
    UPDATE subscriptions SET resting_until = NULL WHERE name IN (SELECT subscription FROM again)
)
SELECT * FROM again UNION ALL
SELECT * FROM outgoing WHERE id = %(id)s AND NOT EXISTS (SELECT FROM again)

-- name: enabled
SELECT name FROM subscriptions WHERE enabled ORDER BY name

-- name: lock
SELECT * FROM subscriptions WHERE name = %(name)s AND enabled FOR NO KEY UPDATE SKIP LOCKED

-- name: move_on
UPDATE subscriptions SET position = %(position)s WHERE name = %(name)s

-- name: exported
SELECT task_id FROM exports WHERE subscription = %(name)s AND task_id = ANY (%(task_ids)s)

-- name: begin_exports
INSERT INTO exports (task_id, subscription)
SELECT t.id, %(name)s FROM tasks t WHERE t.id = ANY (%(task_ids)s)
ON CONFLICT DO NOTHING

-- name: put
INSERT INTO outgoing (subscription, event_id, event, subject, next_attempt_at, waiting_since)
SELECT %(name)s, e.event_id, e.event, e.subject, COALESCE(%(now)s::timestamptz, now()), COALESCE(%(now)s::timestamptz, now())
  FROM ROWS FROM (jsonb_to_recordset(%(events)s) AS (event_id bigint, event text, subject text))
       WITH ORDINALITY AS e (event_id, event, subject, place)
 ORDER BY e.place
ON CONFLICT DO NOTHING

-- name: ask_export
INSERT INTO outgoing (subscription, event, subject)
SELECT %(name)s, 'task.exported', %(task_id)s
 WHERE NOT EXISTS (SELECT FROM outgoing WHERE subscription = %(name)s AND subject = %(task_id)s AND state = 'waiting')

-- name: get_export
SELECT task_id, subscription, external_id, url, state, created FROM exports
 WHERE task_id = %(task_id)s AND subscription = %(name)s

-- name: exports_of
SELECT task_id, subscription, external_id, url, state, created FROM exports WHERE task_id = %(task_id)s ORDER BY created

-- name: take
-- The next one that is due, for so many seconds: then somebody else may. What an exported task becomes is told in order,
-- and by one at a time. Only the first of each subscription that may be sent to are looked at, however many wait, and
-- more than one, since others may be taking them. now(): an index cannot be searched by a clock that moves.
WITH first_ones AS MATERIALIZED (
    SELECT c.id FROM subscriptions s CROSS JOIN LATERAL (
           SELECT o.id FROM outgoing o
            WHERE o.subscription = s.name AND o.state = 'waiting'
              AND o.next_attempt_at <= COALESCE(%(now)s::timestamptz, now())
              AND (s.kind NOT IN ('github', 'linear') OR NOT EXISTS (
                   SELECT FROM outgoing e WHERE e.subscription = o.subscription AND e.subject = o.subject
                                            AND e.state = 'waiting' AND e.number < o.number))
            ORDER BY o.next_attempt_at, o.number LIMIT 20) AS c
     WHERE s.enabled AND (s.resting_until IS NULL OR s.resting_until <= COALESCE(%(now)s::timestamptz, now()))
), due AS (
    SELECT o.id FROM outgoing o
     WHERE o.id IN (SELECT id FROM first_ones) AND o.state = 'waiting'
       AND o.next_attempt_at <= COALESCE(%(now)s::timestamptz, now())
     ORDER BY o.next_attempt_at, o.number LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE outgoing o SET attempts = o.attempts + 1, status_code = NULL, error_code = NULL,
       next_attempt_at = COALESCE(%(now)s::timestamptz, now()) + make_interval(secs => %(seconds)s)
  FROM due WHERE o.id = due.id
RETURNING o.id

-- name: news
SELECT o.id, o.event, o.subject, o.attempts AS attempt, o.waiting_since, COALESCE(te.at, me.at, o.created) AS at,
       s.name AS subscription, s.kind, s.target, s.details, COALESCE(te.actor, me.actor) AS actor, te.from_status, te.reason,
       CASE WHEN t.id IS NOT NULL THEN jsonb_build_object(
           'id', t.id, 'title', t.title, 'status', t.status, 'task_type', t.task_type, 'agent_name', t.agent_name,
           'session_id', t.session_id, 'priority', t.priority, 'quote', tm.quote, 'input_data', t.input_data,
           'error_message', t.error_message) END AS task,
       CASE WHEN m.id IS NOT NULL THEN jsonb_build_object(
           'id', m.id, 'title', m.title, 'type', m.type, 'session_id', m.session_id, 'review', m.review, 'tags', m.tags,
           'superseded_by', m.superseded_by, 'merged_into', m.merged_into, 'quote', m.quote, 'speaker', m.speaker,
           'content', m.content) END AS memory,
       e.external_id, e.url AS external_url, e.state AS external_state, e.external_updated_at
  FROM outgoing o JOIN subscriptions s ON s.name = o.subscription
  LEFT JOIN tasks t ON o.event LIKE 'task.%%' AND t.id = o.subject
  LEFT JOIN memories tm ON tm.id = t.memory
  LEFT JOIN task_events te ON te.task_id = t.id AND te.id = o.event_id
  LEFT JOIN memories m ON m.id = CASE WHEN o.event LIKE 'memory.%%' THEN o.subject::bigint END
  LEFT JOIN memory_events me ON me.memory = m.id AND me.id = o.event_id
  LEFT JOIN exports e ON e.task_id = t.id AND e.subscription = s.name
 WHERE o.id = %(id)s

-- name: delivered
UPDATE outgoing SET state = 'delivered', status_code = %(status_code)s, error_code = NULL,
       delivered_at = COALESCE(%(now)s::timestamptz, now())
 WHERE id = %(id)s AND state = 'waiting'

-- name: skipped
UPDATE outgoing SET state = 'skipped', error_code = %(error_code)s WHERE id = %(id)s AND state = 'waiting'

-- name: failed_try
-- Of a try that nobody has taken over: one that came too late must not put off the next.
UPDATE outgoing SET state = CASE WHEN %(pause_seconds)s::float8 IS NULL THEN 'failed' ELSE 'waiting' END,
       status_code = %(status_code)s, error_code = %(error_code)s,
       next_attempt_at = COALESCE(%(now)s::timestamptz, now()) + make_interval(secs => COALESCE(%(pause_seconds)s::float8, 0))
 WHERE id = %(id)s AND state = 'waiting' AND attempts = %(attempt)s
RETURNING state

-- name: rest
UPDATE subscriptions
   SET resting_until = CASE WHEN %(seconds)s::float8 IS NOT NULL
                            THEN COALESCE(%(now)s::timestamptz, now()) + make_interval(secs => %(seconds)s::float8) END
 WHERE name = %(name)s AND (resting_until IS NOT NULL OR %(seconds)s::float8 IS NOT NULL)

-- name: keep_external
UPDATE exports SET external_id = %(external_id)s, url = %(url)s, state = %(state)s, external_updated_at = %(updated_at)s
 WHERE task_id = %(task_id)s AND subscription = %(name)s

-- name: lock_exports
SELECT e.task_id, e.subscription, e.external_id, e.url, e.state, e.external_updated_at, t.status
  FROM exports e JOIN subscriptions s ON s.name = e.subscription JOIN tasks t ON t.id = e.task_id
 WHERE e.external_id = %(external_id)s AND s.kind = %(kind)s
 ORDER BY e.task_id, e.subscription FOR NO KEY UPDATE OF e, t

-- name: doubt
UPDATE tasks SET doubt = %(doubt)s WHERE id = %(task_id)s AND status IN ('claimed', 'running')

-- name: forget
DELETE FROM outgoing WHERE id IN (
    SELECT id FROM outgoing WHERE state IN ('delivered', 'skipped') AND created < now() - make_interval(days => %(days)s)
     ORDER BY created LIMIT 1000)

-- name: health
SELECT (SELECT count(*) FROM outgoing WHERE state = 'failed') AS failed,
       (SELECT count(*) FROM outgoing WHERE state = 'waiting') AS waiting,
       COALESCE(array_agg(name ORDER BY name) FILTER (WHERE enabled), '{}') AS enabled,
       COALESCE(array_agg(name ORDER BY name) FILTER (WHERE disabled_why IS NOT NULL), '{}') AS ended
  FROM subscriptions
