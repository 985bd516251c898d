-- Looking for what was said before, without reading what merely shares a few words with it.

CREATE OR REPLACE FUNCTION word_groups(words text[]) RETURNS TABLE (part text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
-- Parts of a memory's words, one of which every title has whole that says nearly the same in other words. One word in
-- four may be lacking: of four to seven words all but one are there; more are dealt into groups, two more than words may
-- be lacking, so that two groups are there. Numbers are the same in both, so they are in every part: of ten thousand
-- tickets "Review ticket 4711" finds one.
    WITH told AS (
        SELECT w.word, w.place, CASE WHEN n.many < 8 THEN n.many ELSE n.many / 4 + 2 END AS groups, n.many < 8 AS few,
               w.word ~ '[0-9]' AS is_number
          FROM (SELECT cardinality(words) - 1 AS many) AS n,
               unnest(words[2:]) WITH ORDINALITY AS w (word, place)
         WHERE n.many >= 4
    ), parts AS (
        SELECT DISTINCT one.place % one.groups AS one, other.place % other.groups AS other, one.few
          FROM told one JOIN told other ON one.place % one.groups < other.place % other.groups OR one.few
         WHERE NOT one.few OR one.place = other.place
    )
    SELECT array_agg(t.word)
      FROM parts p JOIN told t ON t.is_number OR (t.place % t.groups IN (p.one, p.other)) <> p.few
     GROUP BY p.one, p.other
$$;

CREATE OR REPLACE FUNCTION near_memories(
    wanted_type text, wanted_title text, at timestamptz DEFAULT clock_timestamp(), only_session text DEFAULT NULL,
    alike real DEFAULT 0.75)
RETURNS TABLE (id bigint, session_id text, title text, speaker text, owner text, delivery text, apart_from bigint[],
               likeness real)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
-- Memories that stood at a time and whose words are those of a title; where there are none, nearly those, most alike
-- first: pg_trgm's similarity of the stems. Volatile, so that each call sees what was committed by then.
#variable_conflict use_column
DECLARE
    looked_for text[] := memory_words(wanted_type, wanted_title);
    together   text := array_to_string(looked_for[2:], ' ');
BEGIN
    RETURN QUERY
    SELECT m.id, m.session_id, m.title, m.speaker, m.content ->> 'owner', m.delivery, m.apart_from, 1::real
      FROM (SELECT * FROM memories o
             WHERE o.words @> looked_for[1:1] AND o.merged_into IS NULL AND looked_for <> '{}' LIMIT 1000) AS m
     WHERE m.type = wanted_type AND (only_session IS NULL OR m.session_id = only_session)
       AND (m.superseded_at IS NULL OR m.superseded_at > at)
     ORDER BY m.id LIMIT 10;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT m.id, m.session_id, m.title, m.speaker, m.content ->> 'owner' AS owner, m.delivery, m.apart_from, m.type,
               m.words, m.superseded_at
          FROM word_groups(looked_for) AS g
         CROSS JOIN LATERAL (SELECT * FROM memories o
                              WHERE o.words @> g.part AND o.merged_into IS NULL LIMIT 1000) AS m
         WHERE only_session IS NULL
         UNION ALL
        SELECT m.id, m.session_id, m.title, m.speaker, m.content ->> 'owner' AS owner, m.delivery, m.apart_from, m.type,
               m.words, m.superseded_at
          FROM (SELECT * FROM memories o WHERE o.session_id = only_session OFFSET 0) AS m
         WHERE m.merged_into IS NULL AND EXISTS (SELECT FROM word_groups(looked_for) AS g WHERE m.words @> g.part)
    ), alike_ones AS (
        SELECT DISTINCT ON (f.id) f.id, f.session_id, f.title, f.speaker, f.owner, f.delivery, f.apart_from,
               similarity(array_to_string(f.words[2:], ' '), together) AS likeness
          FROM found f
         WHERE f.type = wanted_type AND (f.superseded_at IS NULL OR f.superseded_at > at)
    )
    SELECT * FROM alike_ones a WHERE a.likeness >= alike ORDER BY a.likeness DESC, a.id LIMIT 10;
END $$;
