-- name: search
-- A plain question finds what shares any of its words: plainto_tsquery's AND becomes OR. Results are ranked by how
-- many different words of the question they hold, then by ts_rank. Matches are marked with the control characters
-- STX and ETX, which speech does not have and no page or terminal takes for markup. A memory that was said again is one
-- hit, in the words that fit best, under the id of the one that stands.
WITH asked AS (
    SELECT replace(plainto_tsquery('english', %(query)s)::text, ' & ', ' | ')::tsquery AS words,
           tsvector_to_array(to_tsvector('english', %(query)s)) AS lexemes
), found AS (
    SELECT 'turns' AS kind, t.id::text AS id, t.session_id, t.text AS body, to_tsvector('english', t.text) AS vector,
           t.speaker, NULL AS type, t.seq AS turn_seq, COALESCE(t.start_time, t.created) AS at
      FROM turns t, asked WHERE 'turns' = ANY (%(kinds)s) AND to_tsvector('english', t.text) @@ asked.words
    UNION ALL
    SELECT 'chunks', c.chunk_id, c.session_id, c.content, to_tsvector('english', c.content), NULL, c.format, f.seq,
           COALESCE(c.start_time, c.created)
      FROM asked, conversation_chunks c LEFT JOIN turns f ON f.id = c.first_turn
     WHERE 'chunks' = ANY (%(kinds)s) AND to_tsvector('english', c.content) @@ asked.words
    UNION ALL
    SELECT 'memories', COALESCE(m.merged_into, m.id)::text, m.session_id, COALESCE(m.quote, m.title),
           to_tsvector('english', m.content::text), m.speaker,
           m.type, t.seq, m.created
      FROM asked, memories m LEFT JOIN turns t ON t.id = m.turn
     WHERE 'memories' = ANY (%(kinds)s) AND m.review <> 'rejected'
       AND to_tsvector('english', m.content::text) @@ asked.words
    UNION ALL
    SELECT 'tasks', t.id, t.session_id, t.title, w.words, t.agent_name, t.task_type, NULL, t.created
      FROM asked, task_words w JOIN tasks t ON t.id = w.task_id
     WHERE 'tasks' = ANY (%(kinds)s) AND w.words @@ asked.words
    UNION ALL
    SELECT 'artifacts', a.id, a.session_id, a.name || E'\n' || a.content, to_tsvector('english', a.content), NULL,
           a.type, NULL, a.created
      FROM artifacts a, asked
     WHERE 'artifacts' = ANY (%(kinds)s) AND to_tsvector('english', a.content) @@ asked.words
), scored AS (
    SELECT f.*, (SELECT count(*) FROM unnest(tsvector_to_array(f.vector)) AS l WHERE l = ANY (asked.lexemes))
                + ts_rank(f.vector, asked.words, 1) AS score
      FROM found f, asked
     WHERE (%(session_id)s::text IS NULL OR f.session_id = %(session_id)s)
       AND (%(type)s::text IS NULL OR f.type = %(type)s)
       AND (%(speaker)s::text IS NULL OR lower(f.speaker) = lower(%(speaker)s))
       AND (%(since)s::timestamptz IS NULL OR f.at >= %(since)s)
), ranked AS (
    SELECT c.* FROM (SELECT s.*, row_number() OVER (PARTITION BY s.kind, s.id ORDER BY s.score DESC, s.at) AS place
                       FROM scored s) AS c
     WHERE c.place = 1 OR c.kind <> 'memories'
     ORDER BY c.score DESC, c.at DESC, c.kind, c.id LIMIT %(limit)s
)
SELECT r.kind, r.id, r.session_id, s.title AS session_title, r.speaker, r.type, r.turn_seq, r.at,
       round(r.score::numeric, 4)::double precision AS score,
       CASE WHEN r.kind = 'memories' THEN (SELECT 1 + count(*) FROM memories e WHERE e.merged_into = r.id::bigint) END
           AS times_said,
       CASE WHEN r.kind = 'memories' THEN (SELECT m.superseded_by FROM memories m WHERE m.id = r.id::bigint) END
           AS superseded_by,
       ts_headline('english', r.body, asked.words, E'StartSel=\x02, StopSel=\x03, ' ||
                   CASE WHEN length(r.body) <= 300 THEN 'HighlightAll=true'
                        ELSE 'MaxWords=45, MinWords=20, MaxFragments=1' END) AS snippet
  FROM ranked r CROSS JOIN asked LEFT JOIN sessions s ON s.id = r.session_id
 ORDER BY r.score DESC, r.at DESC, r.kind, r.id
