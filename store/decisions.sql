-- name: ids
-- Decisions, the latest first; what was said again is there once.
SELECT m.id FROM memories m
 WHERE m.type = 'decision' AND m.merged_into IS NULL AND m.review <> 'rejected'
   AND (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
   AND (%(tag)s::text IS NULL OR m.tags @> ARRAY[%(tag)s::text])
   AND (m.said_at, m.id) < (COALESCE((SELECT b.said_at FROM memories b WHERE b.id = %(before)s), 'infinity'),
                            COALESCE(%(before)s::bigint, 9223372036854775807))
 ORDER BY m.said_at DESC, m.id DESC LIMIT %(limit)s

-- name: ids_as_of
-- The same of those that were in force at a time: said by then; or standing for what was said by then, and said later,
-- which are looked for from what they stand for.
WITH last AS (
    SELECT COALESCE((SELECT b.said_at FROM memories b WHERE b.id = %(before)s), 'infinity') AS said_at,
           COALESCE(%(before)s::bigint, 9223372036854775807) AS id
)
(SELECT m.id, m.said_at FROM memories_as_of(%(as_of)s) m
  WHERE m.type = 'decision' AND m.said_at <= %(as_of)s
    AND (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
    AND (%(tag)s::text IS NULL OR m.tags @> ARRAY[%(tag)s::text])
    AND (m.said_at, m.id) < ((SELECT said_at FROM last), (SELECT id FROM last))
  ORDER BY m.said_at DESC, m.id DESC LIMIT %(limit)s)
UNION ALL
(SELECT m.id, m.said_at FROM memories_as_of(%(as_of)s) m
  WHERE m.type = 'decision' AND m.said_at > %(as_of)s
    AND m.id = ANY (ARRAY(SELECT e.merged_into FROM memories e
                           WHERE e.type = 'decision' AND e.merged_into IS NOT NULL AND e.said_at <= %(as_of)s))
    AND (%(session_id)s::text IS NULL OR m.session_id = %(session_id)s)
    AND (%(tag)s::text IS NULL OR m.tags @> ARRAY[%(tag)s::text])
    AND (m.said_at, m.id) < ((SELECT said_at FROM last), (SELECT id FROM last))
  ORDER BY m.said_at DESC, m.id DESC LIMIT %(limit)s)
 ORDER BY said_at DESC, id DESC LIMIT %(limit)s

-- name: told
SELECT m.id, m.session_id, left(m.title, 1000) AS title, left(m.quote, 1000) AS quote, m.speaker, m.said_at, m.review,
       m.reviewed_by, m.tags[1:8] AS tags, m.superseded_by, m.superseded_at, left(s.title, 1000) AS session_title,
       1 + (SELECT count(*) FROM (SELECT FROM memories e WHERE e.merged_into = m.id LIMIT %(most)s) AS e) AS times_said
  FROM memories m JOIN sessions s ON s.id = m.session_id
 WHERE m.id = ANY (%(ids)s::bigint[]) ORDER BY m.said_at DESC, m.id DESC

-- name: said_again
-- The last times that each was said again, of as many as are looked at.
SELECT w.id AS decision, e.id, e.session_id, left(s.title, 1000) AS session_title, e.speaker, e.said_at
  FROM unnest(%(ids)s::bigint[]) AS w (id)
 CROSS JOIN LATERAL (SELECT f.* FROM (SELECT m.id, m.session_id, m.speaker, m.said_at FROM memories m
                                       WHERE m.merged_into = w.id LIMIT %(most)s) AS f
                      ORDER BY f.said_at DESC, f.id DESC LIMIT %(each)s) AS e
  JOIN sessions s ON s.id = e.session_id
 ORDER BY w.id, e.said_at, e.id

-- name: chains
-- What each replaced and was replaced by, step by step: `step` counts back from -1 and on from 1. One may replace
-- several; of what came before no more than `most` in all.
WITH RECURSIVE newer (decision, id, step) AS (
    SELECT m.id, m.superseded_by, 1 FROM memories m
     WHERE m.id = ANY (%(ids)s::bigint[]) AND m.superseded_by IS NOT NULL
    UNION ALL
    SELECT n.decision, m.superseded_by, n.step + 1 FROM newer n JOIN memories m ON m.id = n.id
     WHERE m.superseded_by IS NOT NULL AND n.step < %(steps)s
), older (decision, id, step) AS (
    SELECT w.id, m.id, -1 FROM unnest(%(ids)s::bigint[]) AS w (id)
     CROSS JOIN LATERAL (SELECT o.id FROM memories o WHERE o.superseded_by = w.id LIMIT %(each)s) AS m
    UNION ALL
    SELECT p.decision, m.id, p.step - 1 FROM older p
     CROSS JOIN LATERAL (SELECT o.id FROM memories o WHERE o.superseded_by = p.id LIMIT %(each)s) AS m
     WHERE p.step > -%(steps)s
)
SELECT c.decision, c.step, m.id, m.session_id, m.type, left(m.title, 1000) AS title, m.said_at, m.superseded_by,
       m.superseded_at, left(s.title, 1000) AS session_title
  FROM ((SELECT * FROM newer LIMIT %(most)s) UNION ALL (SELECT * FROM older LIMIT %(most)s)) AS c
 CROSS JOIN LATERAL (SELECT o.* FROM memories o WHERE o.id = c.id LIMIT 1) AS m  -- one by one: there are few
  JOIN sessions s ON s.id = m.session_id
 ORDER BY c.decision, c.step, m.said_at, m.id

-- name: tasks
-- Tasks that are about each, or come of it, whichever of its sayings they name; the latest first.
SELECT w.id AS decision, k.id, left(k.title, 1000) AS title, k.status, k.agent_name, left(k.doubt, 1000) AS doubt
  FROM unnest(%(ids)s::bigint[]) AS w (id)
 CROSS JOIN LATERAL (SELECT w.id || ARRAY(SELECT e.id FROM memories e WHERE e.merged_into = w.id LIMIT %(most)s) AS ids) AS s
 CROSS JOIN LATERAL (
       SELECT t.id, t.title, t.status, t.agent_name, t.doubt, t.created FROM (
           (SELECT d.* FROM tasks d WHERE d.decision = ANY (s.ids) LIMIT %(most)s)
           UNION (SELECT f.* FROM tasks f WHERE f.memory = ANY (s.ids) LIMIT %(most)s)) AS t
        ORDER BY t.created DESC, t.id LIMIT %(each)s) AS k
 ORDER BY w.id, k.created DESC, k.id

-- name: artifacts
SELECT a.id, a.task_id, left(a.name, 1000) AS name
  FROM unnest(%(tasks)s::text[]) AS w (id)
 CROSS JOIN LATERAL (SELECT * FROM artifacts o WHERE o.task_id = w.id ORDER BY o.created DESC, o.id LIMIT %(each)s) AS a
 ORDER BY a.task_id, a.created DESC, a.id

-- name: doubted
-- Tasks not at their end that hang on what was replaced or rejected.
SELECT t.id, left(t.title, 1000) AS title, t.status, t.agent_name, left(t.doubt, 1000) AS doubt, t.created
  FROM tasks t WHERE t.doubt IS NOT NULL AND t.status NOT IN ('completed', 'failed', 'cancelled')
 ORDER BY t.created DESC, t.id DESC LIMIT %(limit)s

-- name: tags
-- What the latest decisions are about most.
SELECT u.tag, count(*) AS decisions
  FROM (SELECT m.tags FROM memories m WHERE m.type = 'decision' AND m.merged_into IS NULL AND m.review <> 'rejected'
         ORDER BY m.said_at DESC, m.id DESC LIMIT %(most)s) AS m, unnest(m.tags) AS u (tag)
 GROUP BY u.tag HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT %(limit)s
