-- name: search
-- The database's own search() (schema.sql), with what people see of each hit. Matches are marked with the control
-- characters STX and ETX, which speech does not have and no page or terminal takes for markup.
SELECT f.kind, f.id, f.session_id, s.title AS session_title, f.speaker, f.type, f.turn_seq, f.at, f.score, f.explained,
       CASE WHEN f.kind = 'memories' THEN (SELECT 1 + count(*) FROM memories e WHERE e.merged_into = f.id::bigint) END
           AS times_said,
       CASE WHEN f.kind = 'memories' THEN (SELECT m.superseded_by FROM memories m WHERE m.id = f.id::bigint) END
           AS superseded_by,
       ts_headline(('pg_catalog.' || COALESCE(s.language, 'english'))::regconfig, left(f.body, 20000), f.found,
                   E'StartSel=\x02, StopSel=\x03, ' ||
                   CASE WHEN length(f.body) <= 300 THEN 'HighlightAll=true'
                        ELSE 'MaxWords=45, MinWords=20, MaxFragments=1' END) AS snippet
  FROM search(%(query)s, %(kinds)s, %(session_id)s, %(type)s, %(speaker)s, %(since)s, %(until)s, %(as_of)s, %(wanted)s,
              %(unfinished)s, %(meaning)s::real[], %(model)s) WITH ORDINALITY AS f
  LEFT JOIN sessions s ON s.id = f.session_id
 ORDER BY f.ordinality OFFSET %(skipped)s

-- name: facets
WITH hits AS MATERIALIZED (
    SELECT f.* FROM search(%(query)s, %(kinds)s, %(session_id)s, %(type)s, %(speaker)s, %(since)s, %(until)s, %(as_of)s,
                           %(wanted)s) AS f
)
SELECT c.facet, c.value, s.title AS label, c.hits
  FROM (SELECT v.facet, v.value, count(*) AS hits
          FROM hits h, LATERAL (VALUES ('kind', h.kind), ('type', h.type), ('session', h.session_id), ('speaker', h.speaker),
                                       ('month', to_char(h.at AT TIME ZONE 'UTC', 'YYYY-MM'))) AS v (facet, value)
         WHERE v.value <> '' GROUP BY v.facet, v.value) AS c
  LEFT JOIN sessions s ON c.facet = 'session' AND s.id = c.value
 ORDER BY c.facet, c.hits DESC, c.value

-- name: passages
SELECT DISTINCT t.session_id, s.title AS session_title, t.seq, t.speaker, t.text || COALESCE(' [' || t.caption || ']', '') AS text,
       COALESCE(t.start_time, t.created) AS at
  FROM jsonb_to_recordset(%(places)s) AS p (session_id text, seq integer)
  JOIN turns t ON t.session_id = p.session_id AND t.seq BETWEEN p.seq - %(around)s AND p.seq + %(around)s
  JOIN sessions s ON s.id = t.session_id
 ORDER BY t.session_id, t.seq

-- name: own
-- A memory with all that says it again, their turns and tasks; or a task with its memory's.
WITH about AS (
    SELECT COALESCE(m.merged_into, m.id) AS root FROM memories m
     WHERE m.id = COALESCE(%(memory)s, (SELECT memory FROM tasks WHERE id = %(task)s))
), sayings AS (
    SELECT m.id, m.turn FROM about a JOIN memories m ON m.id = a.root OR m.merged_into = a.root
)
SELECT 'memories' AS kind, id::text FROM sayings
 UNION SELECT 'turns', turn::text FROM sayings WHERE turn IS NOT NULL
 UNION SELECT 'tasks', t.id FROM tasks t WHERE t.id = %(task)s OR t.memory IN (SELECT id FROM sayings)

-- name: fold
SELECT fold_search_changes()
