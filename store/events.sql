-- name: after
-- What happened after a place in the stream, in its order. An event of a transaction that began before the oldest one
-- under way is final; later ones are left for the next time.
WITH done AS (
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xact
), found AS (
    (SELECT e.xact, e.id, e.at, 'task' AS kind, e.task_id AS subject, e.to_status AS happened, e.actor,
            jsonb_build_object('from', e.from_status, 'to', e.to_status, 'attempts', e.attempts, 'reason', e.reason) AS data
       FROM task_events e, done
      WHERE (e.xact, e.id) > (%(xact)s::bigint, %(id)s::bigint) AND e.xact < done.xact
      ORDER BY e.xact, e.id LIMIT %(limit)s)
    UNION ALL
    (SELECT e.xact, e.id, e.at, 'memory', e.memory::text, e.event, e.actor, '{}'
       FROM memory_events e, done
      WHERE (e.xact, e.id) > (%(xact)s::bigint, %(id)s::bigint) AND e.xact < done.xact
      ORDER BY e.xact, e.id LIMIT %(limit)s)
    ORDER BY xact, id LIMIT %(limit)s
)
SELECT f.xact || '-' || f.id AS position, f.at, f.kind || '.' || f.happened AS type, f.kind, f.subject, f.actor, f.data,
       COALESCE(t.session_id, m.session_id) AS session_id, COALESCE(t.title, m.title) AS title,
       t.agent_name, m.type AS memory_type
  FROM found f
  LEFT JOIN tasks t ON f.kind = 'task' AND t.id = f.subject
  LEFT JOIN memories m ON f.kind = 'memory' AND m.id = CASE WHEN f.kind = 'memory' THEN f.subject::bigint END
 ORDER BY f.xact, f.id

-- name: end
SELECT pg_snapshot_xmin(pg_current_snapshot())::text || '-0' AS position

-- name: say_actor
SELECT say_actor(%(actor)s)
