-- What is forgotten goes with everything that came of it: a session, what a source told, what a person said.
--
--     forget_session(session)          all of a session, whatever it came from
--     forget_person_in(session, name)  what one of several people said in it, and what came of that
--     forgotten                        what is not taken again, known by digests, not by words

CREATE TABLE forgotten (
    key     text PRIMARY KEY CHECK (key ~ '^([0-9a-f]{32}|[0-9a-f]{64})$'),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    until   timestamptz NOT NULL DEFAULT 'infinity',
    kind    text CHECK (kind IN ('session', 'person')),
    subject text,
    CHECK ((kind IS NULL) = (subject IS NULL))
);
COMMENT ON TABLE forgotten IS 'deliveries of these sessions that came before `until` are dropped, and so are deliveries of these ids';
COMMENT ON COLUMN forgotten.key IS 'deliveries.id, or sha256 of what and which: forgotten_key()';
COMMENT ON COLUMN forgotten.subject IS 'until a worker has looked for it in Redis and in what nobody could read; then NULL';
CREATE INDEX forgotten_to_look_for ON forgotten (at) WHERE subject IS NOT NULL;
CREATE INDEX forgotten_for_a_while ON forgotten (until) WHERE until < 'infinity';

ALTER TABLE sessions ADD COLUMN forgets_until timestamptz;
COMMENT ON COLUMN sessions.forgets_until IS 'when a part of it was forgotten: deliveries that came before are dropped';

-- So that an answer goes with what was asked about. Those from before are not known to be of anybody.
ALTER TABLE llm_answers ADD COLUMN delivery text;
CREATE INDEX llm_answers_by_delivery ON llm_answers (delivery);

CREATE FUNCTION forgotten_key(kind text, name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT encode(sha256(convert_to_utf8(kind || ' ' || name)), 'hex')
$$;

CREATE FUNCTION is_forgotten(session text, received timestamptz) RETURNS boolean LANGUAGE sql VOLATILE AS $$
-- Whether a delivery of a session that came at this time is to be dropped. Volatile, so that it sees what was committed by
-- then, also within a statement that waited.
    SELECT EXISTS (SELECT FROM forgotten f WHERE f.key = forgotten_key('session', session) AND f.until > received)
$$;

CREATE FUNCTION note_forgotten(wanted_kind text, name text, wanted_until timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO forgotten AS f (key, until, kind, subject)
    VALUES (forgotten_key(wanted_kind, name), wanted_until, wanted_kind, name)
    ON CONFLICT (key) DO UPDATE
       SET at = EXCLUDED.at, until = GREATEST(f.until, EXCLUDED.until), kind = EXCLUDED.kind, subject = EXCLUDED.subject
$$;

CREATE FUNCTION forget_deliveries(ids text[], wanted_until timestamptz DEFAULT 'infinity') RETURNS bigint LANGUAGE plpgsql AS $$
-- Takes raw deliveries away, with what a language model answered about them; until then, a repeat is dropped, too.
DECLARE
    gone bigint;
BEGIN
    WITH answers AS (
        DELETE FROM llm_answers WHERE delivery = ANY (ids) OR (delivery IS NULL AND items IS NOT NULL) RETURNING *
    )
    INSERT INTO llm_answers (piece, model, tokens_in, tokens_out, cost, asked)  -- what they cost still counts for their day
    SELECT 'forgotten ' || gen_random_uuid(), a.model, sum(a.tokens_in), sum(a.tokens_out), sum(a.cost), max(a.asked)
      FROM answers a GROUP BY a.model, (a.asked AT TIME ZONE 'UTC')::date;
    DELETE FROM deliveries WHERE id = ANY (ids);
    GET DIAGNOSTICS gone = ROW_COUNT;
    INSERT INTO forgotten AS f (key, until) SELECT DISTINCT id, wanted_until FROM unnest(ids) AS id ORDER BY id
        ON CONFLICT (key) DO UPDATE SET until = GREATEST(f.until, EXCLUDED.until);
    RETURN gone;
END $$;

CREATE FUNCTION forget_tasks(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
-- Takes tasks away with their artifacts and their history. What waited for one waits no more, and says so.
BEGIN
    UPDATE tasks t
       SET depends_on = ARRAY(SELECT d.id FROM unnest(t.depends_on) AS d (id)
                               WHERE d.id <> ALL (ids) AND EXISTS (SELECT FROM tasks o WHERE o.id = d.id)),
           doubt = COALESCE(t.doubt, 'A task that it waited for is forgotten.')
     WHERE t.waiting_for > 0 AND t.depends_on && ids AND t.id <> ALL (ids);
    DELETE FROM artifacts WHERE task_id = ANY (ids);
    DELETE FROM repeatable_requests
     WHERE answer ->> 'id' = ANY (ids) OR answer ->> 'task_id' = ANY (ids);
    DELETE FROM tasks WHERE id = ANY (ids);
END $$;

CREATE FUNCTION forget_memories(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
-- Takes memories away. What was said in other sessions, too, stays in the words that it was said in there.
BEGIN
    -- A task elsewhere hangs on what its own session said, not on the first to say it.
    UPDATE tasks t SET memory = (SELECT min(m.id) FROM memories m
                                  WHERE m.merged_into = t.memory AND m.session_id = t.session_id AND m.id <> ALL (ids))
     WHERE t.memory = ANY (ids) AND t.session_id NOT IN (SELECT m.session_id FROM memories m WHERE m.id = t.memory);
    -- A doubt quotes what was replaced and by what.
    UPDATE tasks t SET doubt = 'A decision that it rests on was replaced.'
      FROM memories m
     WHERE t.doubt IS NOT NULL AND m.id = ANY (ids) AND m.title <> '' AND strpos(t.doubt, m.title) > 0;
    DELETE FROM memories WHERE id = ANY (ids);
END $$;

CREATE FUNCTION hold_session(session text) RETURNS boolean LANGUAGE plpgsql AS $$
-- Locks a session to forget it, after its deliveries, as workers do; answers whether anything is known of it. Where there
-- is none, one is made, so that who is making it right now is waited for.
DECLARE
    made integer;
BEGIN
    PERFORM FROM deliveries d WHERE d.session_id = session ORDER BY d.id FOR UPDATE;
    INSERT INTO sessions (id) VALUES (session) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    PERFORM FROM sessions s WHERE s.id = session FOR UPDATE;
    RETURN made = 0 OR EXISTS (SELECT FROM deliveries d WHERE d.session_id = session);
END $$;

CREATE FUNCTION count_of_session(session text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'turns', (SELECT count(*) FROM turns t WHERE t.session_id = session),
        'chunks', (SELECT count(*) FROM conversation_chunks c WHERE c.session_id = session),
        'memories', (SELECT count(*) FROM memories m WHERE m.session_id = session),
        'tasks', (SELECT count(*) FROM tasks t WHERE t.session_id = session),
        'artifacts', (SELECT count(*) FROM artifacts a WHERE a.session_id = session),
        'deliveries', (SELECT count(*) FROM deliveries d WHERE d.session_id = session))
$$;

CREATE FUNCTION forget_session(session text, wanted_until timestamptz DEFAULT 'infinity') RETURNS jsonb LANGUAGE plpgsql AS $$
-- Takes a session away with its turns, chunks, memories, tasks, artifacts and raw deliveries, and answers how many there
-- were and whether there was anything (`known`). What comes for it until then is dropped.
DECLARE
    known     boolean := hold_session(session);
    counted   jsonb := count_of_session(session);
    told_by   text[];
    its_tasks text[];
BEGIN
    PERFORM note_forgotten('session', session, wanted_until);
    SELECT array_agg(d.id) INTO told_by FROM deliveries d WHERE d.session_id = session;
    told_by := COALESCE(told_by, '{}');
    SELECT COALESCE(array_agg(t.id), '{}') INTO its_tasks FROM tasks t
     WHERE t.session_id = session
        OR (t.session_id IS NULL AND (t.delivery = ANY (told_by)
                                      OR t.memory IN (SELECT m.id FROM memories m WHERE m.session_id = session)));
    PERFORM forget_tasks(its_tasks);
    DELETE FROM artifacts a WHERE a.session_id = session OR (a.session_id IS NULL AND a.delivery = ANY (told_by));
    PERFORM forget_memories(ARRAY(SELECT m.id FROM memories m WHERE m.session_id = session));
    DELETE FROM repeatable_requests r WHERE r.answer ->> 'session_id' = session OR r.answer ->> 'id' = session;
    DELETE FROM conversation_chunks c WHERE c.session_id = session;
    DELETE FROM turns t WHERE t.session_id = session;
    DELETE FROM sessions s WHERE s.id = session;
    PERFORM forget_deliveries(told_by, GREATEST(wanted_until, clock_timestamp() + interval '30 days'));
    PERFORM fold_search_changes();
    RETURN counted || jsonb_build_object('known', known, 'sessions', known::integer);
END $$;

CREATE FUNCTION names_of_person(person text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
-- The names, in lower case, under which somebody speaks who is known by a name, or by an id or address among participants.
    SELECT lower(person)
     UNION
    SELECT lower(p.one ->> 'name')
      FROM sessions s, jsonb_array_elements(s.participants) AS p (one)
     WHERE jsonb_typeof(p.one) = 'object' AND p.one ->> 'name' <> ''
       AND EXISTS (SELECT FROM jsonb_each_text(p.one) AS v WHERE lower(v.value) = lower(person))
$$;

CREATE FUNCTION sessions_of_person(person text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
-- Where they spoke or took part, or a memory is put down to them, in the order in which sessions are locked.
    WITH known AS (SELECT array_agg(n) AS names FROM names_of_person(person) AS n)
    SELECT s.id
      FROM sessions s, known k
     WHERE EXISTS (SELECT FROM jsonb_array_elements(s.participants) AS p (one)
                    WHERE lower(p.one #>> '{}') = ANY (k.names) OR lower(p.one ->> 'name') = ANY (k.names))
        OR s.id IN (SELECT t.session_id FROM turns t WHERE lower(t.speaker) = ANY (k.names))
        OR s.id IN (SELECT m.session_id FROM memories m WHERE lower(m.speaker) = ANY (k.names))
     ORDER BY s.id
$$;

CREATE FUNCTION forget_person_in(session text, names text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
-- Takes what somebody said out of a session that others have spoken in, too, and what came of it or may have: summaries,
-- items of a sender that name no speaker, raw deliveries. Where only assistants spoke besides, the session is forgotten.
-- `names` are in lower case.
DECLARE
    known    boolean := hold_session(session);
    before   jsonb := count_of_session(session);
    told_by  text[] := ARRAY(SELECT d.id FROM deliveries d WHERE d.session_id = session);
    their    bigint[];
    memories_of bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM turns t WHERE t.session_id = session AND t.role NOT IN ('assistant', 'summary')
                                         AND lower(t.speaker) <> ALL (names)) THEN
        RETURN forget_session(session);
    END IF;
    their := ARRAY(SELECT t.id FROM turns t WHERE t.session_id = session
                                              AND (t.role = 'summary' OR lower(t.speaker) = ANY (names)));
    memories_of := ARRAY(SELECT m.id FROM memories m
                          WHERE m.session_id = session
                            AND (lower(m.speaker) = ANY (names) OR m.turn = ANY (their)
                                 OR (m.turn IS NULL AND m.speaker IS NULL AND m.delivery IS NOT NULL)));
    PERFORM forget_tasks(ARRAY(SELECT t.id FROM tasks t
                                WHERE t.session_id = session
                                  AND (t.memory = ANY (memories_of) OR (t.memory IS NULL AND t.delivery IS NOT NULL))));
    DELETE FROM artifacts a WHERE a.session_id = session AND a.delivery IS NOT NULL;
    PERFORM forget_memories(memories_of);
    DELETE FROM repeatable_requests r WHERE r.answer ->> 'session_id' = session OR r.answer ->> 'id' = session;
    PERFORM forget_turns(session, their, names);
    UPDATE sessions s
       SET forgets_until = clock_timestamp(),
           participants = (SELECT COALESCE(jsonb_agg(p.one ORDER BY p.place), '[]')
                             FROM jsonb_array_elements(s.participants) WITH ORDINALITY AS p (one, place)
                            WHERE NOT (lower(p.one #>> '{}') = ANY (names)
                                       OR COALESCE(lower(p.one ->> 'name') = ANY (names), false))),
           title = CASE WHEN NOT names_anybody(s.title, names) THEN s.title END,
           context = CASE WHEN NOT names_anybody(s.context, names) THEN s.context END,
           metadata = CASE WHEN names_anybody(s.metadata::text, names) THEN '{}' ELSE s.metadata END
     WHERE s.id = session;
    PERFORM note_forgotten('session', session, clock_timestamp());
    PERFORM forget_deliveries(told_by);
    PERFORM fold_search_changes();
    RETURN jsonb_build_object('known', known, 'sessions', 0)
           || (SELECT jsonb_object_agg(b.key, b.value::bigint - (a.value)::bigint)
                 FROM jsonb_each_text(before) AS b JOIN jsonb_each_text(count_of_session(session)) AS a USING (key));
END $$;

CREATE FUNCTION names_anybody(content text, names text[]) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM unnest(names) AS name WHERE strpos(lower(content), name) > 0)
$$;

CREATE FUNCTION forget_turns(session text, ids bigint[], names text[]) RETURNS void LANGUAGE plpgsql AS $$
-- Takes turns away, and their lines out of the chunks that hold others', too; the turns after them move up.
DECLARE
    piece record;
BEGIN
    DELETE FROM conversation_chunks c
     WHERE c.session_id = session AND c.first_turn IS NULL
       AND (c.participants ?| names OR names_anybody(c.content, names) OR c.format = 'summary');
    FOR piece IN
        SELECT c.id, min(t.id) FILTER (WHERE t.id <> ALL (ids)) AS left_over,
               (array_agg(t.id ORDER BY t.seq) FILTER (WHERE t.id <> ALL (ids))) AS stay,
               string_agg(CASE WHEN t.speaker <> '' THEN t.speaker || ': ' ELSE '' END || btrim(t.text)
                          || COALESCE(' [' || t.caption || ']', ''), E'\n' ORDER BY t.seq)
                   FILTER (WHERE t.id <> ALL (ids)) AS content,
               jsonb_agg(DISTINCT t.speaker) FILTER (WHERE t.id <> ALL (ids) AND t.speaker <> '') AS speakers
          FROM conversation_chunks c
          JOIN turns f ON f.id = c.first_turn JOIN turns l ON l.id = c.last_turn
          JOIN turns t ON t.session_id = session AND t.seq BETWEEN f.seq AND l.seq
         WHERE c.session_id = session
         GROUP BY c.id HAVING bool_or(t.id = ANY (ids)) ORDER BY c.id
    LOOP
        IF piece.left_over IS NULL THEN
            DELETE FROM conversation_chunks c WHERE c.id = piece.id;
        ELSE
            UPDATE conversation_chunks c
               SET content = piece.content, participants = COALESCE(piece.speakers, '[]'), extracted_items = '{}',
                   first_turn = piece.stay[1], last_turn = piece.stay[cardinality(piece.stay)]
             WHERE c.id = piece.id;
        END IF;
    END LOOP;
    DELETE FROM turns t WHERE t.id = ANY (ids);
    UPDATE turns t SET seq = n.seq
      FROM (SELECT o.id, row_number() OVER (ORDER BY o.seq) AS seq FROM turns o WHERE o.session_id = session) AS n
     WHERE t.id = n.id AND t.seq <> n.seq;
END $$;

CREATE FUNCTION forget_unsaid_words() RETURNS boolean LANGUAGE plpgsql AS $$
-- Takes the words away that no chunk holds any more. False when somebody else is adding them up just now, or there is
-- more to add up: call it again.
BEGIN
    IF NOT pg_try_advisory_xact_lock(4827035) THEN
        RETURN false;
    END IF;
    PERFORM fold_search_changes();
    IF EXISTS (SELECT FROM search_changes) THEN
        RETURN false;
    END IF;
    DELETE FROM search_words WHERE chunks = 0 AND word <> '';
    RETURN true;
END $$;
