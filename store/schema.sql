-- The schema that migrations/ give. Written by scripts/schema; never edited, never run.

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE FUNCTION public.memory_words(type text, title text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
-- The stems of the words that carry meaning, each once and sorted, and before them one entry for all of them together
-- and the type: what has that entry in common says the same in other forms of the same words.
    SELECT CASE WHEN n.words = '{}' THEN '{}'
                ELSE ('=' || md5(type || ' ' || array_to_string(n.words, ' '))) || n.words END
      FROM (SELECT tsvector_to_array(ts_delete(to_tsvector('english'::regconfig, left(title, 1000)),
                       '{ah,er,gonna,go,hm,let,mm,ok,okay,pleas,realli,uh,um,us,use,yeah}'::text[])) AS words
            OFFSET 0) AS w,
           LATERAL (SELECT CASE WHEN w.words && '{two,three,four,five,six,seven,eight,nine,ten,eleven,twelv}'
                                THEN ARRAY(SELECT COALESCE((array_position(
                                               '{two,three,four,five,six,seven,eight,nine,ten,eleven,twelv}', u.word)
                                               + 1)::text, u.word) COLLATE "C"
                                             FROM unnest(w.words) AS u (word) GROUP BY 1 ORDER BY 1)
                                ELSE w.words END AS words OFFSET 0) AS n
$$;

CREATE FUNCTION public.words_of(language text, body text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
-- The dictionaries that PostgreSQL comes with do not change, so that this may be called immutable.
BEGIN
    RETURN to_tsvector(('pg_catalog.' || language)::regconfig, body);
END $$;

CREATE TABLE public.memories (
    id bigint NOT NULL,
    session_id text NOT NULL,
    type text NOT NULL,
    key text NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    content jsonb NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    confidence real DEFAULT 1 NOT NULL,
    extractor text DEFAULT 'person'::text NOT NULL,
    speaker text,
    turn bigint,
    char_start integer,
    char_end integer,
    quote text,
    review text DEFAULT 'proposed'::text NOT NULL,
    superseded_by bigint,
    delivery text,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    said_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    merged_into bigint,
    merged_by text,
    apart_from bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    superseded_at timestamp with time zone,
    reviewed_by text,
    reviewed_at timestamp with time zone,
    review_before text,
    words text[] GENERATED ALWAYS AS (public.memory_words(type, title)) STORED NOT NULL,
    language text NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (public.words_of(language, ((((title || ' '::text) || COALESCE(speaker, ''::text)) || ' '::text) || (content)::text))) STORED NOT NULL,
    CONSTRAINT a_memory_is_not_merged_into_itself CHECK ((merged_into <> id)),
    CONSTRAINT a_superseded_memory_has_its_time CHECK (((superseded_by IS NULL) = (superseded_at IS NULL))),
    CONSTRAINT memories_check CHECK ((superseded_by <> id)),
    CONSTRAINT memories_check1 CHECK ((num_nonnulls(char_start, char_end, quote) = ANY (ARRAY[0, 3]))),
    CONSTRAINT memories_check2 CHECK (((quote IS NULL) OR ((char_end - char_start) = length(quote)))),
    CONSTRAINT memories_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT memories_key_check CHECK ((key <> ''::text)),
    CONSTRAINT memories_review_check CHECK ((review = ANY (ARRAY['proposed'::text, 'accepted'::text, 'rejected'::text, 'edited'::text]))),
    CONSTRAINT memories_type_check CHECK ((type = ANY (ARRAY['idea'::text, 'decision'::text, 'question'::text, 'action_item'::text, 'fact'::text, 'note'::text, 'preference'::text, 'context'::text, 'risk'::text])))
);

COMMENT ON COLUMN public.memories.char_start IS 'where the quote begins in turns.text, counted in characters from 0';

COMMENT ON COLUMN public.memories.said_at IS 'when it was said: the time of its turn, else of its delivery';

COMMENT ON COLUMN public.memories.merged_into IS 'the memory that stands for this one, which says the same again';

COMMENT ON COLUMN public.memories.merged_by IS 'the person who merged or split it; NULL when the rules did';

COMMENT ON COLUMN public.memories.apart_from IS 'memories with which a person said it has nothing to do';

COMMENT ON COLUMN public.memories.superseded_at IS 'when what replaced it was said';

COMMENT ON COLUMN public.memories.review_before IS 'what the review was before it became what it is';

COMMENT ON COLUMN public.memories.words IS 'stems by which the same said again is found; see memory_words()';

CREATE FUNCTION public.accept_memory(memory bigint, person text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE sql
    AS $$
-- It is right as it stands. The task of an action item that was only inferred is approved.
    SELECT review_memory(memory, 'accepted', person, 'its memory was accepted')
$$;

CREATE FUNCTION public.acting_person() RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT COALESCE(NULLIF(current_setting('ai_webhook.actor', true), ''), current_user)
$$;

CREATE TABLE public.tasks (
    id text DEFAULT ('task_'::text || "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 12)) NOT NULL,
    session_id text,
    agent_name text,
    capabilities jsonb DEFAULT '[]'::jsonb NOT NULL,
    task_type text DEFAULT 'general'::text NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    priority integer DEFAULT 50 NOT NULL,
    input_data jsonb DEFAULT '{}'::jsonb NOT NULL,
    process_id integer,
    claimed_by text,
    claimed_at timestamp with time zone,
    started timestamp with time zone,
    completed timestamp with time zone,
    output_data jsonb,
    artifacts text[] DEFAULT '{}'::text[] NOT NULL,
    error_message text,
    claim_token uuid,
    lease_until timestamp with time zone,
    last_token uuid,
    slot integer,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer DEFAULT 3 NOT NULL,
    not_before timestamp with time zone,
    depends_on text[] DEFAULT '{}'::text[] NOT NULL,
    waiting_for integer DEFAULT 0 NOT NULL,
    acceptance jsonb,
    question text,
    progress real,
    progress_note text,
    progressed_at timestamp with time zone,
    memory bigint,
    delivery text,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    decision bigint,
    doubt text,
    command jsonb,
    CONSTRAINT a_command_comes_of_no_memory CHECK (((command IS NULL) OR (memory IS NULL)))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='1000');

COMMENT ON COLUMN public.tasks.priority IS 'higher is claimed first; 50 is ordinary';

COMMENT ON COLUMN public.tasks.completed IS 'when the task ended: completed, failed or cancelled';

COMMENT ON COLUMN public.tasks.last_token IS 'the token of the last claim, by which its holder may ask how it ended';

COMMENT ON COLUMN public.tasks.slot IS 'which of the agent''s max_concurrent places the claim takes';

COMMENT ON COLUMN public.tasks.attempts IS 'tries that ended without success';

COMMENT ON COLUMN public.tasks.not_before IS 'not claimable until then; the first look after it sets it to NULL';

COMMENT ON COLUMN public.tasks.waiting_for IS 'how many of depends_on are not completed; kept by a trigger';

COMMENT ON COLUMN public.tasks.acceptance IS 'what a completion has to bring: {"artifact_types": ["report"], "exit_code": 0, "output_matches": "regular expression"}';

COMMENT ON COLUMN public.tasks.decision IS 'the decision that the task is about, as far as its words show';

COMMENT ON COLUMN public.tasks.doubt IS 'why it may no longer be wanted: the decision was replaced, or its action item rejected';

COMMENT ON COLUMN public.tasks.command IS 'what a native client wants run: {"argv": […], "working_dir", "timeout"}; never changed';

CREATE FUNCTION public.answer_task(task_id text, answer text, person text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- The answer joins input_data.answers, in the order in which questions were asked.
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(person, answer);
    UPDATE tasks t SET status = 'pending', input_data = jsonb_set(t.input_data, '{answers}',
           COALESCE(t.input_data -> 'answers', '[]') || jsonb_build_object(
               'question', t.question, 'answer', answer, 'person', person, 'answered_at', now()))
     WHERE t.id = task_id AND t.status = 'needs_input'
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'answered');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.approve_task(task_id text, person text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(person, 'approved');
    UPDATE tasks t SET status = 'pending', input_data = t.input_data || jsonb_build_object('approved_by', person)
     WHERE t.id = task_id AND t.status = 'proposed'
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'approved');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.are_scopes(scopes text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $_$
    SELECT cardinality(scopes) > 0 AND bool_and(s IN ('read', 'write', 'claim', 'review', 'admin') OR s ~ '^claim:.{1,100}$')
      FROM unnest(scopes) AS s
$_$;

CREATE FUNCTION public.ask_task(task_id text, claim_token uuid, question text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- Parks the task until a person answers; the lease stops, no try is spent.
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    IF ask_task.question IS NULL OR btrim(ask_task.question) = '' THEN
        RAISE EXCEPTION 'The question is empty.' USING ERRCODE = 'AW006';
    END IF;
    said := say_actor(':holder', ask_task.question);
    UPDATE tasks t SET status = 'needs_input', question = ask_task.question
     WHERE t.id = task_id AND t.claim_token = ask_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, ask_task.claim_token, 'parked with a question');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.bm25(lexemes tsvector, words tsquery[], weights real[], average double precision, k1 real, b real) RETURNS TABLE(score double precision)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
-- Robertson and Zaragoza's formula; a text is as long as it has different words.
    SELECT sum(w.weight * n.times * (k1 + 1) / (n.times + k1 * (1 - b + b * length(lexemes) / average)))
      FROM unnest(words, weights) AS w (word, weight),
           LATERAL (SELECT times_said(ts_rank('{1,1,1,1}', lexemes, w.word)) AS times OFFSET 0) AS n
     WHERE n.times > 0
$$;

CREATE FUNCTION public.cancel_task(task_id text, reason text DEFAULT NULL::text, person text DEFAULT NULL::text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- Also rejects what was proposed. A holder learns of it at its next renew.
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(person, reason);
    UPDATE tasks t SET status = 'cancelled', error_message = reason
     WHERE t.id = task_id AND t.status NOT IN ('completed', 'failed', 'cancelled')
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'cancelled');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.check_command() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'The command of task % is what its client sent, and does not change.', NEW.id USING ERRCODE = 'AW006';
    ELSIF NOT EXISTS (SELECT FROM deliveries d WHERE d.id = NEW.delivery AND d.source = 'native') THEN
        RAISE EXCEPTION 'A command has to come of a delivery of the native clients.' USING ERRCODE = 'AW006';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.check_lease(lease_seconds integer) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE
    AS $$
BEGIN
    IF lease_seconds IS NULL OR lease_seconds NOT BETWEEN 1 AND 86400 THEN
        RAISE EXCEPTION 'A lease is 1 to 86400 seconds, not %.', lease_seconds USING ERRCODE = 'AW006';
    END IF;
    RETURN make_interval(secs => lease_seconds);
END $$;

CREATE FUNCTION public.claim_task(agent_name text, control_agent text, lease_seconds integer DEFAULT 300, max_tasks integer DEFAULT 1, fair boolean DEFAULT false) RETURNS TABLE(task_id text, session_id text, task_type text, title text, priority integer, input_data jsonb, claim_token uuid, lease_until timestamp with time zone, attempt integer, session_title text, quote text)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_sort TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
-- Gives the most urgent tasks to one agent, at most max_tasks and never past agents.max_concurrent. No row when
-- there is nothing to do; it never waits. `fair` puts tasks of sessions first of which fewer are held.
--
-- Many claims at once would all fight for the first rows of the queue. Here each asks is_free() and steps over what is
-- not. FOR UPDATE then looks at the row as it is now: one that was taken and committed in between is passed over, and so
-- is one that somebody is moving right now.
#variable_conflict use_column
DECLARE
    moment    timestamptz := clock_timestamp();  -- a variable, since an index cannot be searched by a volatile function
    lease_end timestamptz := moment + check_lease(lease_seconds);
    seed      text := concat(random(), random(), moment);  -- for tokens; gen_random_uuid() opens /dev/urandom each time
    agent     record;
    wanted    integer := max_tasks;
    slots     integer[];
    ids       text[] := '{}';
    candidate text;
BEGIN
    IF max_tasks IS NULL OR max_tasks NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_tasks is 1 to 1000, not %.', max_tasks USING ERRCODE = 'AW006';
    ELSIF control_agent IS NULL OR control_agent = '' THEN
        RAISE EXCEPTION 'control_agent names who claims; it is empty.' USING ERRCODE = 'AW006';
    END IF;
    SELECT a.max_concurrent AS places, a.capabilities AS can,
           EXISTS (SELECT FROM tasks t WHERE t.status IN ('claimed', 'running') AND t.lease_until <= moment)
           OR EXISTS (SELECT FROM tasks t WHERE t.status = 'pending' AND t.not_before <= moment) AS overdue,
           EXISTS (SELECT FROM tasks t WHERE t.agent_name IS NULL
                      AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL) AS shares_a_queue
      INTO agent FROM agents a WHERE a.name = claim_task.agent_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', claim_task.agent_name USING ERRCODE = 'AW004';
    END IF;
    IF agent.overdue THEN
        PERFORM expire_claims();
    END IF;
    IF agent.places IS NOT NULL THEN
        slots := free_slots(claim_task.agent_name, agent.places, wanted);
        wanted := cardinality(slots);
        IF wanted = 0 THEN
            RAISE EXCEPTION 'Agent % already holds as many tasks as it may.', claim_task.agent_name
                USING ERRCODE = 'AW003';
        END IF;
    END IF;
    IF fair OR agent.shares_a_queue OR agent.overdue THEN  -- what was overdue may be for a capability
        FOR candidate IN SELECT q.id FROM queue_of(claim_task.agent_name, agent.can) AS q WHERE NOT fair
                          UNION ALL SELECT q.id FROM fair_queue(claim_task.agent_name, agent.can) AS q WHERE fair LOOP
            PERFORM FROM tasks t WHERE t.id = candidate AND t.status = 'pending' AND is_free(t.id)
                FOR UPDATE SKIP LOCKED;
            IF FOUND THEN
                ids := ids || candidate;
                EXIT WHEN cardinality(ids) = wanted;
            END IF;
        END LOOP;
    ELSE
        ids := ARRAY(SELECT t.id FROM tasks t
                      WHERE t.agent_name = claim_task.agent_name
                        AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL AND is_free(t.id)
                      ORDER BY t.priority DESC, t.created LIMIT wanted FOR UPDATE SKIP LOCKED);
    END IF;
    IF ids = '{}' THEN
        RETURN;  -- who polls finds nothing most of the time, and writing nothing costs a sixth more
    END IF;
    RETURN QUERY WITH taken AS (
        UPDATE tasks t SET status = 'claimed', agent_name = claim_task.agent_name, claimed_by = control_agent,
               claimed_at = moment, updated = moment, lease_until = lease_end, claim_token = md5(seed || t.id)::uuid,
               last_token = md5(seed || t.id)::uuid, slot = slots[array_position(ids, t.id)],
               progress = NULL, progress_note = NULL, progressed_at = NULL
         WHERE t.id = ANY (ids)
        RETURNING t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
                  t.attempts + 1 AS attempt, (SELECT s.title FROM sessions s WHERE s.id = t.session_id) AS session_title,
                  (SELECT m.quote FROM memories m WHERE m.id = t.memory) AS quote
    ), told AS (
        INSERT INTO task_events (task_id, actor, from_status, to_status, attempts)
        SELECT id, control_agent, 'pending', 'claimed', attempt - 1 FROM taken
    )
    SELECT * FROM taken ORDER BY array_position(ids, id);
END $$;

CREATE FUNCTION public.complete_task(task_id text, claim_token uuid, output_data jsonb DEFAULT NULL::jsonb, artifacts text[] DEFAULT '{}'::text[]) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- A completion that the task's acceptance rule does not accept changes nothing and says what is missing. A repeat
-- with the token that completed the task answers the task again and changes nothing, so that an agent whose answer
-- was lost on the way can ask once more.
#variable_conflict use_column
DECLARE
    task  tasks;
    unmet text;
    said  text;
BEGIN
    IF octet_length(output_data::text) > 1048576 THEN
        RAISE EXCEPTION 'The output is longer than 1 MiB; leave it as an artifact.' USING ERRCODE = 'AW006';
    END IF;
    said := say_actor(':holder');
    UPDATE tasks t SET status = 'completed', output_data = complete_task.output_data,
           artifacts = COALESCE(complete_task.artifacts, '{}'), error_message = NULL,
           started = COALESCE(t.started, t.claimed_at)
     WHERE t.id = task_id AND t.claim_token = complete_task.claim_token AND t.lease_until > clock_timestamp()
       AND (t.acceptance IS NULL
            OR unmet_acceptance(t.acceptance, complete_task.output_data, complete_task.artifacts) IS NULL)
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        SELECT * INTO task FROM tasks t
         WHERE t.id = task_id AND t.last_token = complete_task.claim_token AND t.status = 'completed';
    END IF;
    IF task.id IS NULL THEN
        SELECT unmet_acceptance(t.acceptance, complete_task.output_data, complete_task.artifacts) INTO unmet
          FROM tasks t WHERE t.id = task_id AND t.claim_token = complete_task.claim_token
                         AND t.lease_until > clock_timestamp();
        IF unmet IS NOT NULL THEN
            RAISE EXCEPTION 'Task % cannot be completed like this: %.', task_id, unmet USING ERRCODE = 'AW007';
        END IF;
        PERFORM refuse_claim(task_id, complete_task.claim_token, 'completed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.convert_to_utf8(content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT convert_to(content, 'UTF8') $$;

CREATE FUNCTION public.count_deliveries(most integer DEFAULT 50) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Counts quarters of the last 32 days, the latest first. One at a time; who comes second leaves it to the first. What
-- says that a quarter changed is deleted before it is counted: a change that commits in between is seen or stays said.
BEGIN
    IF NOT pg_try_advisory_xact_lock(4827036) THEN
        RETURN;
    END IF;
    WITH changed AS (DELETE FROM delivery_changes RETURNING quarter)
    DELETE FROM delivery_quarters q USING changed c WHERE q.quarter = c.quarter;
    DELETE FROM delivery_quarters q WHERE q.quarter < now() - interval '32 days';
    WITH new AS (
        INSERT INTO delivery_quarters
        SELECT s.quarter
          FROM generate_series(GREATEST(quarter_of(now() - interval '32 days') + interval '15 minutes',
                                        quarter_of((SELECT min(d.received_at) FROM deliveries d))),
                               now() - interval '30 minutes', interval '15 minutes') AS s (quarter)
         WHERE NOT EXISTS (SELECT FROM delivery_quarters q WHERE q.quarter = s.quarter)
         ORDER BY s.quarter DESC LIMIT most
        RETURNING quarter
    )
    INSERT INTO delivery_counts SELECT new.quarter, f.* FROM new CROSS JOIN LATERAL count_quarter(new.quarter) AS f;
END $$;

CREATE FUNCTION public.count_dependencies() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- How many tasks this one waits for. Their rows are locked (FOR SHARE), so that none of them can complete unseen
-- between the count here and the commit. What depends on itself, however far around, is refused.
DECLARE
    missing text;
BEGIN
    PERFORM FROM tasks WHERE id = ANY (NEW.depends_on) ORDER BY id FOR SHARE;
    SELECT d.id INTO missing FROM unnest(NEW.depends_on) AS d (id)
     WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.id = d.id) LIMIT 1;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'Task % depends on %, which does not exist.', NEW.id, missing USING ERRCODE = 'AW006';
    ELSIF EXISTS (WITH RECURSIVE further (id) AS (
                      SELECT unnest(NEW.depends_on)
                       UNION SELECT unnest(t.depends_on) FROM further f JOIN tasks t ON t.id = f.id)
                  SELECT FROM further WHERE id = NEW.id) THEN
        RAISE EXCEPTION 'Task % would depend on itself.', NEW.id USING ERRCODE = 'AW006';
    END IF;
    NEW.waiting_for := (SELECT count(*) FROM tasks WHERE id = ANY (NEW.depends_on) AND status <> 'completed');
    RETURN NEW;
END $$;

CREATE FUNCTION public.count_of_session(session text) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    SELECT jsonb_build_object(
        'turns', (SELECT count(*) FROM turns t WHERE t.session_id = session),
        'chunks', (SELECT count(*) FROM conversation_chunks c WHERE c.session_id = session),
        'memories', (SELECT count(*) FROM memories m WHERE m.session_id = session),
        'tasks', (SELECT count(*) FROM tasks t WHERE t.session_id = session),
        'artifacts', (SELECT count(*) FROM artifacts a WHERE a.session_id = session),
        'deliveries', (SELECT count(*) FROM deliveries d WHERE d.session_id = session))
$$;

CREATE FUNCTION public.count_quarter(quarter timestamp with time zone) RETURNS TABLE(source text, state text, processed timestamp with time zone, class integer, n bigint, last timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
SELECT d.source, d.state, quarter_of(d.processed_at),
       CASE WHEN d.processed_at IS NOT NULL
            THEN floor(4 * ln(GREATEST(date_part('epoch', d.processed_at - d.received_at), 0.001)))::integer END,
       count(*), max(d.received_at)
  FROM deliveries d
 WHERE d.received_at >= count_quarter.quarter AND d.received_at < count_quarter.quarter + interval '15 minutes'
 GROUP BY 1, 2, 3, 4
$$;

CREATE FUNCTION public.count_session_rows() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- TG_ARGV[0] is the counter of sessions that the table feeds. Sessions are taken in the order of their ids,
-- so that two writers of the same sessions cannot deadlock here.
DECLARE
    sign integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
    counter text := TG_ARGV[0];
BEGIN
    WITH changed AS (
        SELECT session_id, count(*) * sign AS n FROM changed_rows WHERE session_id IS NOT NULL GROUP BY session_id
    ), locked AS (
        SELECT s.id FROM sessions s JOIN changed c ON c.session_id = s.id ORDER BY s.id FOR NO KEY UPDATE OF s
    )
    UPDATE sessions s
       SET conversation_chunk_count = conversation_chunk_count
                                      + CASE counter WHEN 'conversation_chunk_count' THEN c.n ELSE 0 END,
           memory_count = memory_count + CASE counter WHEN 'memory_count' THEN c.n ELSE 0 END,
           task_count = task_count + CASE counter WHEN 'task_count' THEN c.n ELSE 0 END,
           artifact_count = artifact_count + CASE counter WHEN 'artifact_count' THEN c.n ELSE 0 END,
           last_activity = GREATEST(s.last_activity, clock_timestamp())
      FROM changed c JOIN locked l ON l.id = c.session_id WHERE s.id = l.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.count_words() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- Notes what a statement on chunks changed, and adds up when that is much, or sixteen statements have, or there is little.
DECLARE
    sign   integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
    told   text[];
    counts integer[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM search_words;
        DELETE FROM search_changes;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(c.word), array_agg(c.n) INTO told, counts FROM (
            SELECT b.word, sum(b.n) AS n
              FROM (SELECT unnest(tsvector_to_array(r.lexemes)) AS word, 1 AS n FROM changed_rows r
                     UNION ALL SELECT unnest(tsvector_to_array(r.lexemes)), -1 FROM old_rows r) AS b
             GROUP BY b.word HAVING sum(b.n) <> 0) AS c;
    ELSE
        SELECT array_agg(c.word), array_agg(c.n) INTO told, counts FROM (
            SELECT word, sign * count(*) AS n
              FROM changed_rows r, unnest(tsvector_to_array(r.lexemes) || ARRAY['']) AS word GROUP BY word) AS c;
    END IF;
    IF told IS NOT NULL THEN
        INSERT INTO search_changes (words, counts) VALUES (told, counts);
        IF cardinality(told) > 2000 OR (SELECT count(*) FROM (SELECT FROM search_changes LIMIT 16) AS c) = 16
           OR NOT EXISTS (SELECT FROM search_words WHERE word = '' AND chunks > 1000) THEN
            PERFORM fold_search_changes();
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.delivery_figures(since timestamp with time zone) RETURNS TABLE(quarter timestamp with time zone, source text, state text, processed timestamp with time zone, class integer, n bigint, last timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
-- From the quarter of `since` on: what is counted, and what is not, counted now.
WITH changed AS MATERIALIZED (SELECT DISTINCT c.quarter FROM delivery_changes c)
SELECT c.quarter, c.source, c.state, c.processed, c.class, c.n, c.last
  FROM delivery_counts c
 WHERE c.quarter >= quarter_of(since) AND NOT EXISTS (SELECT FROM changed WHERE changed.quarter = c.quarter)
UNION ALL
SELECT s.quarter, f.*
  FROM generate_series(GREATEST(quarter_of(since), quarter_of((SELECT min(d.received_at) FROM deliveries d))),
                       (SELECT max(d.received_at) FROM deliveries d), interval '15 minutes') AS s (quarter)
 CROSS JOIN LATERAL count_quarter(s.quarter) AS f
 WHERE NOT EXISTS (SELECT FROM delivery_quarters q WHERE q.quarter = s.quarter)
    OR EXISTS (SELECT FROM changed WHERE changed.quarter = s.quarter)
$$;

CREATE FUNCTION public.deregister_agent(agent_name text) RETURNS integer
    LANGUAGE plpgsql
    AS $$
-- Takes the agent offline and returns what it holds to the queue, without a try spent. Answers how many.
DECLARE
    returned integer;
    said     text;
BEGIN
    UPDATE agents a SET status = 'offline', updated = clock_timestamp() WHERE a.name = agent_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', agent_name USING ERRCODE = 'AW004';
    END IF;
    said := say_actor(agent_name, 'the agent was deregistered');
    UPDATE tasks t SET status = 'pending'
     WHERE t.agent_name = deregister_agent.agent_name AND t.status IN ('claimed', 'running');
    GET DIAGNOSTICS returned = ROW_COUNT;
    said := say_actor(NULL);
    RETURN returned;
END $$;

CREATE FUNCTION public.doubt_tasks() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- Tasks about a decision that was replaced say so; when it stands again, they no longer do.
DECLARE
    mark text := format('Decision %s ', NEW.id);
BEGIN
    IF NEW.superseded_by IS NULL THEN
        UPDATE tasks t SET doubt = NULL
         WHERE (t.memory IN (SELECT sayings_of(NEW.id)) OR t.decision IN (SELECT sayings_of(NEW.id)))
           AND starts_with(t.doubt, mark);
    ELSE
        UPDATE tasks t SET doubt = mark || (SELECT format('(“%s”) was replaced by %s (“%s”).', NEW.title, m.id, m.title)
                                              FROM memories m WHERE m.id = NEW.superseded_by)
         WHERE (t.memory IN (SELECT sayings_of(NEW.id)) OR t.decision IN (SELECT sayings_of(NEW.id)))
           AND t.status NOT IN ('completed', 'failed', 'cancelled');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.edit_memory(memory bigint, person text DEFAULT NULL::text, type text DEFAULT NULL::text, title text DEFAULT NULL::text, content jsonb DEFAULT NULL::jsonb, tags text[] DEFAULT NULL::text[]) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
-- Says anew what a memory says; what is NULL stays. Nothing that is read again changes it any more.
#variable_conflict use_column
DECLARE
    standing bigint;
    changed  memories;
    said     text;
BEGIN
    PERFORM lock_memories(ARRAY[memory]);
    standing := standing_memory(memory);
    said := say_actor(COALESCE(person, acting_person()), 'its memory was edited');
    UPDATE memories m
       SET type = COALESCE(edit_memory.type, m.type), title = COALESCE(edit_memory.title, m.title),
           tags = COALESCE(edit_memory.tags, m.tags),
           content = CASE WHEN edit_memory.content IS NULL THEN m.content
                          ELSE jsonb_strip_nulls(jsonb_build_object(
                                   'type', COALESCE(edit_memory.type, m.type),
                                   'title', COALESCE(edit_memory.title, m.title), 'quote', m.quote)) || edit_memory.content END
     WHERE m.id = standing RETURNING * INTO changed;
    said := say_actor(NULL);
    RETURN changed;
END $$;

CREATE FUNCTION public.expire_claims() RETURNS integer
    LANGUAGE plpgsql
    AS $$
-- Returns tasks past their lease to `pending`, or ends them when they have no try left, and makes claimable what
-- waited for its time. Answers how many leases lapsed. A row that somebody is moving right now is left to them.
DECLARE
    moment       timestamptz := clock_timestamp();
    lapsed_count integer;
    said         text;
BEGIN
    said := say_actor('lease', 'the lease lapsed');
    WITH lapsed AS (
        SELECT id FROM tasks WHERE status IN ('claimed', 'running') AND lease_until <= moment
         ORDER BY lease_until FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks t SET attempts = attempts + 1,
           status = CASE WHEN attempts + 1 >= max_attempts THEN 'failed' ELSE 'pending' END,
           error_message = 'The lease of ' || claimed_by || ' lapsed at '
                           || to_char(lease_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC.'
      FROM lapsed WHERE t.id = lapsed.id;
    GET DIAGNOSTICS lapsed_count = ROW_COUNT;
    said := say_actor(NULL);
    WITH due AS (
        SELECT id FROM tasks WHERE status = 'pending' AND not_before <= moment FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks t SET not_before = NULL FROM due WHERE t.id = due.id;
    RETURN lapsed_count;
END $$;

CREATE FUNCTION public.fail_task(task_id text, claim_token uuid, error text, retry boolean DEFAULT true) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(':holder', error);
    UPDATE tasks t SET attempts = attempts + 1, error_message = error,
           status = CASE WHEN retry AND attempts + 1 < max_attempts THEN 'pending' ELSE 'failed' END,
           not_before = CASE WHEN retry AND attempts + 1 < max_attempts
                             THEN clock_timestamp() + retry_delay(attempts + 1) END
     WHERE t.id = task_id AND t.claim_token = fail_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, fail_task.claim_token, 'failed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.fair_queue(wanted_agent text, can jsonb) RETURNS TABLE(id text)
    LANGUAGE sql STABLE
    AS $$
-- The first of the queue, those first whose session has fewer tasks held: one long session does not starve the others.
    WITH front AS MATERIALIZED (SELECT q.id FROM queue_of(wanted_agent, can) AS q LIMIT 500)
    SELECT t.id FROM front f JOIN tasks t ON t.id = f.id
     ORDER BY (SELECT count(*) FROM tasks h
                WHERE h.session_id = t.session_id AND h.status IN ('claimed', 'running')),
              t.priority DESC, t.created OFFSET 0
$$;

CREATE FUNCTION public.finish_task(task_id text, person text, output_data jsonb DEFAULT NULL::jsonb, artifacts text[] DEFAULT '{}'::text[]) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- A person says that a task is done which nobody holds: it was done by hand. The acceptance rule holds for people, too.
#variable_conflict use_column
DECLARE
    task  tasks;
    unmet text;
    said  text;
BEGIN
    IF octet_length(output_data::text) > 1048576 THEN
        RAISE EXCEPTION 'The output is longer than 1 MiB; leave it as an artifact.' USING ERRCODE = 'AW006';
    END IF;
    SELECT unmet_acceptance(t.acceptance, finish_task.output_data, finish_task.artifacts) INTO unmet
      FROM tasks t WHERE t.id = task_id;
    IF unmet IS NOT NULL THEN
        RAISE EXCEPTION 'Task % cannot be completed like this: %.', task_id, unmet USING ERRCODE = 'AW007';
    END IF;
    said := say_actor(person, 'done by hand');
    UPDATE tasks t SET status = 'completed', output_data = finish_task.output_data,
           artifacts = COALESCE(finish_task.artifacts, '{}'), error_message = NULL
     WHERE t.id = task_id AND t.status IN ('proposed', 'pending', 'needs_input')
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'finished by hand');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.fold_search_changes() RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Adds up what was committed. One at a time; who comes second leaves it to the first.
BEGIN
    IF pg_try_advisory_xact_lock(4827035) THEN
        WITH taken AS (
            DELETE FROM search_changes WHERE id IN (SELECT id FROM search_changes ORDER BY id LIMIT 1000)
            RETURNING words, counts
        )
        INSERT INTO search_words AS w (word, chunks)
        SELECT u.word, sum(u.n) FROM taken t, unnest(t.words, t.counts) AS u (word, n) GROUP BY u.word ORDER BY u.word
        ON CONFLICT (word) DO UPDATE SET chunks = w.chunks + EXCLUDED.chunks;
    END IF;
END $$;

CREATE FUNCTION public.follow_language() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE turns SET language = NEW.language WHERE session_id = NEW.id;
    UPDATE conversation_chunks SET language = NEW.language WHERE session_id = NEW.id;
    UPDATE memories SET language = NEW.language WHERE session_id = NEW.id;
    UPDATE artifacts SET language = NEW.language WHERE session_id = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.follow_memory_review() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- What was said again is reviewed with the one that stands for it; tasks nobody has begun follow, and who has begun
-- one is told by its doubt. An errand waits for a person whatever becomes of its memory.
DECLARE
    sayings bigint[] := ARRAY(SELECT sayings_of(NEW.id));
    mark    text := format('Memory %s ', NEW.id);
BEGIN
    IF NEW.review = 'rejected' THEN
        UPDATE memories m SET review = 'rejected' WHERE m.merged_into = NEW.id AND m.review <> 'rejected';
        UPDATE memories m SET superseded_by = NULL WHERE m.superseded_by = NEW.id;
        UPDATE tasks t SET status = 'cancelled', error_message = 'Rejected: memory ' || NEW.id || '.'
         WHERE t.memory = ANY (sayings) AND t.status IN ('proposed', 'pending');
        UPDATE tasks t SET doubt = mark || format('(“%s”) was rejected by %s.', NEW.title, NEW.reviewed_by)
         WHERE t.memory = ANY (sayings) AND t.status IN ('claimed', 'running', 'needs_input');
    ELSIF OLD.review = 'rejected' THEN
        UPDATE memories m SET review = 'proposed' WHERE m.merged_into = NEW.id AND m.review = 'rejected';
        PERFORM revive_tasks(sayings, 'Rejected: %');
        UPDATE tasks t SET doubt = NULL WHERE t.memory = ANY (sayings) AND starts_with(t.doubt, mark);
        INSERT INTO memories_to_look_at (memory) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    ELSIF OLD.review = 'accepted' AND NEW.review = 'proposed' THEN
        UPDATE tasks t SET status = 'proposed', input_data = t.input_data - 'approved_by'
         WHERE t.memory = ANY (sayings) AND t.status = 'pending'
           AND (SELECT e.from_status = 'proposed' AND e.reason = 'its memory was accepted' FROM task_events e
                 WHERE e.task_id = t.id ORDER BY e.id DESC LIMIT 1);
    END IF;
    IF NEW.review = 'accepted' THEN
        UPDATE tasks t SET status = 'pending', input_data = t.input_data || jsonb_build_object('approved_by', NEW.reviewed_by)
         WHERE t.memory = ANY (sayings) AND t.status = 'proposed' AND t.task_type <> 'errand';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.follow_memory_type() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE memories m SET type = NEW.type, updated = clock_timestamp() WHERE m.merged_into = NEW.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_audit_log(days integer, most integer DEFAULT 10000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
-- Takes away rows older than so many days, at least one, and no more than `most` at a time. Answers how many.
DECLARE
    gone integer;
BEGIN
    PERFORM set_config('ai_webhook.forgets_audit_log', 'on', true);
    DELETE FROM audit_log WHERE id IN (
        SELECT l.id FROM audit_log l WHERE l.at < clock_timestamp() - make_interval(days => GREATEST(days, 1))
         ORDER BY l.at LIMIT most);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM set_config('ai_webhook.forgets_audit_log', '', true);
    RETURN gone;
END $$;

CREATE FUNCTION public.forget_deliveries(ids text[], wanted_until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_memories(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_person_in(session text, names text[]) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_session(session text, wanted_until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_task_events() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM task_events WHERE task_id = OLD.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.forget_tasks(ids text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_turns(session text, ids bigint[], names text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_unsaid_words() RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.forget_vector() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
-- A text that changed needs a new vector. TG_ARGV[0] is the table that has the old one.
BEGIN
    IF to_regclass(TG_ARGV[0]) IS NOT NULL THEN
        EXECUTE format('DELETE FROM %I WHERE id = $1', TG_ARGV[0]) USING NEW.id;
    END IF;
    RETURN NULL;
END $_$;

CREATE FUNCTION public.forgotten_key(kind text, name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT encode(sha256(convert_to_utf8(kind || ' ' || name)), 'hex')
$$;

CREATE FUNCTION public.free_slots(wanted_agent text, places integer, most integer) RETURNS integer[]
    LANGUAGE plpgsql
    AS $$
-- Places of the agent that nobody holds and no other claim is taking right now, at most `most`. A place is locked
-- by an advisory lock until the transaction ends, and only then looked at, in a statement that begins after it: a claim
-- that has just committed is seen. tasks_slots, a unique index, is the last word.
DECLARE
    place integer;
    found integer[] := '{}';
BEGIN
    -- After the limit was lowered the agent may hold places above it, which count like the others.
    most := LEAST(most, places - (SELECT count(*) FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot IS NOT NULL));
    IF most < 1 THEN
        RETURN found;
    END IF;
    FOR place IN SELECT g FROM generate_series(1, places) AS g
                  WHERE NOT EXISTS (SELECT FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot = g) LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtext(wanted_agent), place);
        CONTINUE WHEN EXISTS (SELECT FROM tasks t WHERE t.agent_name = wanted_agent AND t.slot = place);
        found := found || place;
        EXIT WHEN cardinality(found) = most;
    END LOOP;
    RETURN found;
END $$;

CREATE FUNCTION public.grant_roles() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
-- Gives the roles that there are what they need of this version, no less and no more, and takes from everybody else what
-- they have by default. The owner calls it, after every migration.
DECLARE
    app     name := (SELECT rolname FROM pg_roles WHERE rolname = role_of('app'));
    reader  name := (SELECT rolname FROM pg_roles WHERE rolname = role_of('reader'));
    roles   text := concat_ws(', ', quote_ident(app), quote_ident(reader));
    thing   record;
BEGIN
    IF roles = '' THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %s', current_database(), roles);
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %s', roles);
    EXECUTE 'REVOKE CREATE ON SCHEMA public FROM PUBLIC';
    FOR thing IN SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
                        rights_of_app(c.oid) AS of_app, rights_of_reader(c.oid) AS of_reader
                   FROM pg_class c
                  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                    AND is_ours('pg_class', c.oid, c.relowner)
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', thing.kind, thing.name, roles);
        IF app IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %s %s TO %I', thing.of_app, thing.kind, thing.name, app);
        END IF;
        IF reader IS NOT NULL AND thing.of_reader IS NOT NULL THEN
            EXECUTE format('GRANT %s ON %s %s TO %I', thing.of_reader, thing.kind, thing.name, reader);
        END IF;
    END LOOP;
    -- Triggers need no right to their function. What is volatile writes, and is not for readers.
    FOR thing IN SELECT p.oid::regprocedure AS name, p.provolatile <> 'v' AS reads,
                        p.prorettype <> 'trigger'::regtype AND p.proname <> ALL (
                            '{role_of,is_ours,rights_of_app,rights_of_reader,grant_roles,make_roles,limit_role,make_login,settle_events,recount_search_words}'
                        ) AS callable
                   FROM pg_proc p
                  WHERE p.pronamespace = 'public'::regnamespace AND is_ours('pg_proc', p.oid, p.proowner)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, %s', thing.name, roles);
        IF thing.callable THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', thing.name,
                           CASE WHEN thing.reads THEN roles ELSE quote_ident(app) END);
        END IF;
    END LOOP;
    -- For what a migration makes while the service is up, until this is called again after it.
    IF app IS NOT NULL THEN
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO %I', app);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO %I', app);
    END IF;
END $$;

CREATE FUNCTION public.hand_over_memory() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- The first of those that said the same stands where the deleted one stood.
DECLARE
    heir bigint;
BEGIN
    SELECT m.id INTO heir FROM memories m WHERE m.merged_into = OLD.id ORDER BY m.said_at, m.id LIMIT 1;
    IF heir IS NOT NULL THEN
        UPDATE memories m SET merged_into = NULL, apart_from = m.apart_from || OLD.apart_from,
               superseded_by = OLD.superseded_by, superseded_at = OLD.superseded_at
         WHERE m.id = heir;
        UPDATE memories m SET merged_into = heir WHERE m.merged_into = OLD.id;
        UPDATE memories m SET superseded_by = heir WHERE m.superseded_by = OLD.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TABLE public.agents (
    name text NOT NULL,
    type text DEFAULT 'cli'::text NOT NULL,
    command text,
    max_concurrent integer DEFAULT 4,
    capabilities jsonb DEFAULT '[]'::jsonb NOT NULL,
    status text DEFAULT 'available'::text NOT NULL,
    current_tasks integer DEFAULT 0 NOT NULL,
    last_heartbeat timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT agents_current_tasks_check CHECK ((current_tasks >= 0)),
    CONSTRAINT agents_max_concurrent_check CHECK (((max_concurrent >= 0) AND (max_concurrent <= 1000))),
    CONSTRAINT agents_name_check CHECK (((name <> ''::text) AND (length(name) <= 100))),
    CONSTRAINT agents_status_check CHECK ((status = ANY (ARRAY['available'::text, 'busy'::text, 'offline'::text, 'error'::text])))
);

COMMENT ON COLUMN public.agents.max_concurrent IS 'tasks it may hold at a time; NULL is no limit';

COMMENT ON COLUMN public.agents.status IS 'as of the last sweep; the view agent_overview derives it afresh';

CREATE FUNCTION public.heartbeat_agent(agent_name text) RETURNS public.agents
    LANGUAGE plpgsql
    AS $$
DECLARE
    agent agents;
BEGIN
    UPDATE agents a SET last_heartbeat = clock_timestamp(), updated = clock_timestamp(), status = 'available'
     WHERE a.name = agent_name RETURNING * INTO agent;
    IF agent.name IS NULL THEN
        RAISE EXCEPTION 'There is no agent %.', agent_name USING ERRCODE = 'AW004';
    END IF;
    RETURN agent;
END $$;

CREATE FUNCTION public.hold_session(session text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.is_first_here(memory bigint, root bigint, here text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
-- Whether a merged memory is the first of its session to say what one of another session stands for.
    SELECT NOT EXISTS (SELECT FROM memories m
                        WHERE m.session_id = here AND (m.id = root OR (m.merged_into = root AND m.id < memory)))
$$;

CREATE FUNCTION public.is_forgotten(session text, received timestamp with time zone) RETURNS boolean
    LANGUAGE sql
    AS $$
-- Whether a delivery of a session that came at this time is to be dropped. Volatile, so that it sees what was committed by
-- then, also within a statement that waited.
    SELECT EXISTS (SELECT FROM forgotten f WHERE f.key = forgotten_key('session', session) AND f.until > received)
$$;

CREATE FUNCTION public.is_free(task_id text) RETURNS boolean
    LANGUAGE sql
    AS $$
-- Whether no other claim is about to take the task: a try-lock, kept to the end of the transaction, which costs no write
-- and no wait.
    SELECT pg_try_advisory_xact_lock(4827031, hashtext(task_id))
$$;

CREATE FUNCTION public.is_language(name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
-- Those that PostgreSQL 15 has built in, and `simple` for all others.
    SELECT name IN ('simple', 'arabic', 'armenian', 'basque', 'catalan', 'danish', 'dutch', 'english', 'finnish', 'french',
        'german', 'greek', 'hindi', 'hungarian', 'indonesian', 'irish', 'italian', 'lithuanian', 'nepali', 'norwegian',
        'portuguese', 'romanian', 'russian', 'serbian', 'spanish', 'swedish', 'tamil', 'turkish', 'yiddish')
$$;

CREATE FUNCTION public.is_ours(class regclass, object oid, owner oid) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
-- Whether it is for us to grant: not an extension's, and not of somebody whose part we cannot take.
    SELECT pg_has_role(owner, 'USAGE')
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = object AND d.deptype = 'e')
$$;

CREATE FUNCTION public.is_reviewed(memory public.memories) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
-- Whether a person has said something about it. What the rules merged into a rejected memory is rejected, and not reviewed.
    SELECT num_nonnulls(memory.reviewed_by, memory.merged_by) > 0 OR memory.apart_from <> '{}'
           OR (memory.merged_into IS NULL AND memory.review <> 'proposed'
               AND NOT (memory.extractor = 'sender' AND memory.review = 'accepted'))
$$;

CREATE FUNCTION public.join_memories(memory bigint, root bigint, person text) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Lets `root` stand for `memory` and for all that said the same as `memory`. Their tasks that nobody has begun are
-- cancelled while another one for the same is not at its end. `person` is NULL when the rules do it.
#variable_conflict use_column
DECLARE
    joining  bigint[] := ARRAY(SELECT sayings_of(join_memories.memory));
    open_one text;
    said     text;
BEGIN
    SELECT t.id INTO open_one FROM tasks t
     WHERE t.memory IN (SELECT sayings_of(root)) AND t.memory <> ALL (joining)
       AND t.status NOT IN ('completed', 'failed', 'cancelled') ORDER BY t.created LIMIT 1;
    UPDATE memories m SET merged_into = root WHERE m.merged_into = join_memories.memory;
    UPDATE memories m SET merged_into = root, merged_by = person,
           apart_from = array_remove(m.apart_from, root), superseded_by = NULL
     WHERE m.id = join_memories.memory;
    UPDATE memories m SET apart_from = array_remove(m.apart_from, join_memories.memory)
     WHERE m.id = root AND m.apart_from @> ARRAY[join_memories.memory];
    UPDATE memories m SET superseded_by = root WHERE m.superseded_by = join_memories.memory AND m.id <> root;
    UPDATE memories m SET review = 'rejected'
     WHERE m.id = ANY (joining) AND EXISTS (SELECT FROM memories r WHERE r.id = root AND r.review = 'rejected');
    IF open_one IS NOT NULL THEN
        said := say_actor(COALESCE(person, 'merge'), 'the same as ' || open_one);
        UPDATE tasks t SET status = 'cancelled', error_message = 'Said again: the same as ' || open_one || '.'
         WHERE t.memory = ANY (joining) AND t.status IN ('proposed', 'pending');
        said := say_actor(NULL);
    END IF;
END $$;

CREATE FUNCTION public.keep_audit_log() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- Only forget_audit_log() takes rows away, which runs as the owner of the table.
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('ai_webhook.forgets_audit_log', true) = 'on'
       AND current_user = (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = TG_RELID) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_log is append-only.' USING ERRCODE = 'AW002';
END $$;

CREATE FUNCTION public.keep_merged_memory() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- A merged memory points to one that stands and is of its type. One that a person gives another type stands again.
DECLARE
    root record;
BEGIN
    SELECT m.type, m.merged_into INTO root FROM memories m WHERE m.id = NEW.merged_into;
    IF TG_OP = 'UPDATE' AND NEW.merged_into = OLD.merged_into AND NEW.type <> root.type THEN
        NEW.merged_into := NULL;
    ELSIF NEW.merged_into = NEW.id OR root IS NULL THEN
        RETURN NEW;  -- the constraints have their own words for it
    ELSIF root.merged_into IS NOT NULL THEN
        RAISE EXCEPTION 'Memory % is merged itself; merge into %.', NEW.merged_into, root.merged_into USING ERRCODE = 'AW006';
    ELSIF root.type <> NEW.type THEN
        RAISE EXCEPTION 'Memory % is of another type.', NEW.merged_into USING ERRCODE = 'AW006';
    ELSIF TG_OP = 'UPDATE' AND EXISTS (SELECT FROM memories m WHERE m.merged_into = NEW.id) THEN
        RAISE EXCEPTION 'Other memories are merged into memory %; merge_memory() takes them along.', NEW.id USING ERRCODE = 'AW006';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION public.keep_session_times() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- `UPDATE sessions SET status = 'completed'` as a person types it stays within the constraints.
BEGIN
    NEW.completed_at := CASE WHEN NEW.status = 'completed' THEN COALESCE(NEW.completed_at, now()) END;
    RETURN NEW;
END $$;

CREATE FUNCTION public.keep_superseded_memory() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.superseded_at := CASE WHEN NEW.superseded_by IS NOT NULL THEN COALESCE(NEW.superseded_at, clock_timestamp()) END;
    RETURN NEW;
END $$;

CREATE FUNCTION public.keep_task_events() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- History is added to and never rewritten; it goes when its task is deleted, and only then.
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM tasks WHERE id = OLD.task_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'task_events is append-only.' USING ERRCODE = 'AW002';
END $$;

CREATE FUNCTION public.keep_task_id() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- History, artifacts and other tasks know a task by its id.
BEGIN
    RAISE EXCEPTION 'Task % keeps its id.', OLD.id USING ERRCODE = 'AW002';
END $$;

CREATE FUNCTION public.keep_task_times() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- A move sets the status; what the constraints tie to the status follows here, also for plain SQL.
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status = 'claimed' AND OLD.status <> 'claimed' THEN
        RAISE EXCEPTION 'Task % can be claimed only by claim_task().', NEW.id USING ERRCODE = 'AW002';
    END IF;
    NEW.updated := clock_timestamp();
    IF NEW.status IN ('claimed', 'running') THEN
        NEW.last_token := NEW.claim_token;
    ELSE
        NEW.claim_token := NULL;
        NEW.lease_until := NULL;
        NEW.slot := NULL;
    END IF;
    IF NEW.status = 'pending' AND NEW.capabilities <> '[]' THEN
        NEW.agent_name := NULL;  -- a task for capabilities is an agent's only while that agent holds it
    END IF;
    IF NEW.status <> 'needs_input' THEN
        NEW.question := NULL;
    END IF;
    IF NEW.status = 'running' THEN
        NEW.started := COALESCE(NEW.started, NEW.updated);
    END IF;
    NEW.completed := CASE WHEN NEW.status IN ('completed', 'failed', 'cancelled')
                          THEN COALESCE(NEW.completed, NEW.updated) END;
    RETURN NEW;
END $$;

CREATE FUNCTION public.keep_task_words() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO task_words VALUES (NEW.id, to_tsvector('english', NEW.title || ' ' || NEW.input_data::text))
    ON CONFLICT (task_id) DO UPDATE SET words = EXCLUDED.words;
    RETURN NULL;
END $$;

CREATE FUNCTION public.limit_role(role name, kind text) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- How its sessions begin, also behind a pooler that passes no settings on: store/database.py says the same for app.
DECLARE
    setting text;
    limits  text[] := CASE kind
        WHEN 'app' THEN ARRAY['timezone = ''UTC''', 'statement_timeout = ''60s''', 'lock_timeout = ''30s''',
                              'idle_in_transaction_session_timeout = ''5min''']
        ELSE ARRAY['default_transaction_read_only = on', 'statement_timeout = ''30s''', 'lock_timeout = ''5s''',
                   'idle_in_transaction_session_timeout = ''60s''', 'work_mem = ''16MB''',
                   'max_parallel_workers_per_gather = 0'] END;
BEGIN
    IF kind = 'reader' AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        limits := limits || 'temp_file_limit = ''1GB'''::text;
    END IF;
    FOREACH setting IN ARRAY limits LOOP
        EXECUTE format('ALTER ROLE %I SET %s', role, setting);
    END LOOP;
END $$;

CREATE FUNCTION public.lock_memories(wanted bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- The sessions of these memories and of all that say the same, then the memories: always in this order.
DECLARE
    missing bigint;
    groups  bigint[];
BEGIN
    SELECT w.id INTO missing FROM unnest(wanted) AS w (id)
     WHERE NOT EXISTS (SELECT FROM memories m WHERE m.id = w.id) LIMIT 1;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'There is no memory %.', missing USING ERRCODE = 'AW008';
    END IF;
    SELECT array_agg(DISTINCT COALESCE(m.merged_into, m.id)) INTO groups FROM memories m WHERE m.id = ANY (wanted);
    PERFORM FROM sessions s
      WHERE s.id IN (SELECT m.session_id FROM memories m WHERE m.id = ANY (groups) OR m.merged_into = ANY (groups))
      ORDER BY s.id FOR NO KEY UPDATE;
    PERFORM FROM memories m WHERE m.id = ANY (groups) OR m.merged_into = ANY (groups) ORDER BY m.id FOR UPDATE;
END $$;

CREATE FUNCTION public.make_login(kind text, login name, password text) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Lets somebody sign in as app or reader, or gives them a new password. A name of its own becomes a member.
BEGIN
    PERFORM make_roles();
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = login AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls))
       OR EXISTS (SELECT FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = login))
       OR (kind = 'reader' AND EXISTS (SELECT FROM pg_roles WHERE rolname = login)
           AND has_table_privilege(login, 'tasks', 'INSERT, UPDATE, DELETE, TRUNCATE')) THEN
        RAISE EXCEPTION 'The role % may do more than %; choose another name.', login,
            CASE kind WHEN 'reader' THEN 'read' ELSE 'the service needs' END USING ERRCODE = 'AW006';
    ELSIF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
        EXECUTE format('CREATE ROLE %I', login);
    END IF;
    IF login <> role_of(kind) THEN
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', login);
        EXECUTE format('GRANT %I TO %I', role_of(kind), login);
    END IF;
    PERFORM limit_role(login, kind);
    EXECUTE format('ALTER ROLE %I LOGIN INHERIT CONNECTION LIMIT %s PASSWORD %L', login,
                   CASE kind WHEN 'reader' THEN 20 ELSE -1 END, password);
END $$;

CREATE FUNCTION public.make_roles() RETURNS text[]
    LANGUAGE plpgsql
    AS $$
-- Makes the roles that are missing, nobody can sign in as them yet, and answers which.
DECLARE
    kind text;
    made text[] := '{}';
BEGIN
    FOREACH kind IN ARRAY '{app,reader}'::text[] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_of(kind)) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_of(kind));
            PERFORM limit_role(role_of(kind), kind);
            made := made || role_of(kind)::text;
        END IF;
    END LOOP;
    PERFORM grant_roles();
    RETURN made;
END $$;

CREATE FUNCTION public.mark_edited_memory() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- The content repeats type and title for searches; where a person changes those, it follows.
BEGIN
    NEW.review := 'edited';
    NEW.reviewed_by := acting_person();
    NEW.reviewed_at := clock_timestamp();
    NEW.updated := clock_timestamp();
    IF NEW.content = OLD.content AND NEW.content ->> 'title' = OLD.title THEN
        NEW.content := NEW.content || jsonb_build_object('type', NEW.type, 'title', NEW.title);
    END IF;
    RETURN NEW;
END $$;

CREATE TABLE public.turns (
    id bigint NOT NULL,
    session_id text NOT NULL,
    seq integer NOT NULL,
    speaker text DEFAULT ''::text NOT NULL,
    role text DEFAULT 'other'::text NOT NULL,
    text text NOT NULL,
    start_seconds double precision,
    end_seconds double precision,
    start_time timestamp with time zone,
    end_time timestamp with time zone,
    delivery text,
    created timestamp with time zone DEFAULT now() NOT NULL,
    caption text,
    language text NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (public.words_of(language, (text || COALESCE((' '::text || caption), ''::text)))) STORED NOT NULL,
    CONSTRAINT turns_caption_check CHECK ((caption <> ''::text)),
    CONSTRAINT turns_role_check CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text, 'other'::text, 'summary'::text]))),
    CONSTRAINT turns_seq_check CHECK ((seq >= 1)),
    CONSTRAINT turns_text_check CHECK ((text <> ''::text))
);

COMMENT ON COLUMN public.turns.start_seconds IS 'seconds from the start of the conversation';

COMMENT ON COLUMN public.turns.caption IS 'of a picture that came with the turn';

CREATE VIEW public.memory_overview AS
 SELECT m.id,
    m.session_id,
    m.type,
    m.key,
    m.title,
    m.content,
    m.tags,
    m.confidence,
    m.extractor,
    m.speaker,
    m.turn,
    t.seq AS turn_seq,
    m.char_start,
    m.char_end,
    m.quote,
    m.review,
    m.reviewed_by,
    m.reviewed_at,
    m.merged_into,
    m.merged_by,
    m.superseded_by,
    m.superseded_at,
    m.delivery,
    m.said_at,
    m.created,
    m.updated,
    (1 + (( SELECT count(*) AS count
           FROM public.memories e
          WHERE (e.merged_into = COALESCE(m.merged_into, m.id))))::integer) AS times_said
   FROM (public.memories m
     LEFT JOIN public.turns t ON ((t.id = m.turn)));

COMMENT ON COLUMN public.memory_overview.times_said IS 'how often it was said, counting all that are merged';

CREATE FUNCTION public.memories_as_of(at timestamp with time zone) RETURNS SETOF public.memory_overview
    LANGUAGE sql STABLE
    AS $$
-- What stood then: said by then, not yet replaced, and not rejected by a person since.
    SELECT * FROM memory_overview m
     WHERE m.merged_into IS NULL AND m.review <> 'rejected' AND (m.superseded_at IS NULL OR m.superseded_at > at)
       AND (m.said_at <= at OR EXISTS (SELECT FROM memories e WHERE e.merged_into = m.id AND e.said_at <= at))
$$;

CREATE FUNCTION public.memory_event(before public.memories, later public.memories) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
-- What a change of a memory amounts to; NULL for one that nobody has to hear of.
    SELECT CASE
        WHEN before.merged_into IS NULL AND later.merged_into IS NOT NULL THEN 'merged'
        WHEN before.merged_into IS NOT NULL AND later.merged_into IS NULL THEN 'split'
        WHEN before.superseded_by IS NULL AND later.superseded_by IS NOT NULL THEN 'superseded'
        WHEN before.superseded_by IS NOT NULL AND later.superseded_by IS NULL THEN 'reinstated'
        WHEN before.review <> later.review AND later.review IN ('accepted', 'rejected') THEN later.review
        WHEN before.review = 'rejected' AND later.review <> 'rejected' THEN 'restored'
        WHEN (before.type, before.title, before.content, before.tags)
             IS DISTINCT FROM (later.type, later.title, later.content, later.tags) THEN 'edited'
        WHEN before.review <> later.review THEN 'restored'
    END
$$;

CREATE FUNCTION public.merge_memory(memory bigint, into_memory bigint, person text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
-- A person says that the two say the same. `memory` stays as evidence for the one that stands. split_memory() undoes it.
#variable_conflict use_column
DECLARE
    root bigint;
    kept memories;
BEGIN
    PERFORM lock_memories(ARRAY[memory, into_memory]);
    root := standing_memory(into_memory);
    IF root = memory THEN
        RAISE EXCEPTION 'Memory % is the one that stands; a memory is not merged into itself.', memory USING ERRCODE = 'AW006';
    ELSIF (SELECT count(DISTINCT m.type) FROM memories m WHERE m.id IN (memory, root)) > 1 THEN
        RAISE EXCEPTION 'Memory % is of another type than %.', memory, root USING ERRCODE = 'AW006';
    END IF;
    PERFORM join_memories(memory, root, COALESCE(person, acting_person()));
    SELECT * INTO kept FROM memories m WHERE m.id = root;
    RETURN kept;
END $$;

CREATE FUNCTION public.move_session_count() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
BEGIN
    EXECUTE format('UPDATE sessions SET %I = %I + CASE id WHEN $1 THEN -1 ELSE 1 END,
                           last_activity = GREATEST(last_activity, clock_timestamp()) WHERE id IN ($1, $2)',
                   TG_ARGV[0], TG_ARGV[0])
      USING OLD.session_id, NEW.session_id;
    RETURN NULL;
END $_$;

CREATE FUNCTION public.names_anybody(content text, names text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT EXISTS (SELECT FROM unnest(names) AS name WHERE strpos(lower(content), name) > 0)
$$;

CREATE FUNCTION public.names_of_person(person text) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
-- The names, in lower case, under which somebody speaks who is known by a name, or by an id or address among participants.
    SELECT lower(person)
     UNION
    SELECT lower(p.one ->> 'name')
      FROM sessions s, jsonb_array_elements(s.participants) AS p (one)
     WHERE jsonb_typeof(p.one) = 'object' AND p.one ->> 'name' <> ''
       AND EXISTS (SELECT FROM jsonb_each_text(p.one) AS v WHERE lower(v.value) = lower(person))
$$;

CREATE FUNCTION public.near_memories(wanted_type text, wanted_title text, at timestamp with time zone DEFAULT clock_timestamp(), only_session text DEFAULT NULL::text, alike real DEFAULT 0.75) RETURNS TABLE(id bigint, session_id text, title text, speaker text, owner text, delivery text, apart_from bigint[], likeness real)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $$
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

CREATE FUNCTION public.note_forgotten(wanted_kind text, name text, wanted_until timestamp with time zone) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO forgotten AS f (key, until, kind, subject)
    VALUES (forgotten_key(wanted_kind, name), wanted_until, wanted_kind, name)
    ON CONFLICT (key) DO UPDATE
       SET at = EXCLUDED.at, until = GREATEST(f.until, EXCLUDED.until), kind = EXCLUDED.kind, subject = EXCLUDED.subject
$$;

CREATE FUNCTION public.note_memory_review() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.review_before := OLD.review;
    NEW.reviewed_by := acting_person();
    NEW.reviewed_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE FUNCTION public.place_held_tasks() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- An agent that had no limit gets one: what it holds already takes places, from the first free one above all others.
BEGIN
    UPDATE tasks t SET slot = h.slot
      FROM (SELECT u.id, row_number() OVER (ORDER BY u.claimed_at, u.id)
                         + COALESCE((SELECT max(o.slot) FROM tasks o WHERE o.agent_name = NEW.name), 0) AS slot
              FROM tasks u
             WHERE u.agent_name = NEW.name AND u.status IN ('claimed', 'running') AND u.slot IS NULL) AS h
     WHERE t.id = h.id;
    RETURN NULL;
END $$;

CREATE FUNCTION public.prepare_vectors() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
-- Makes the tables of vectors: a vector of a model for a turn or chunk, gone with its text.
BEGIN
    IF to_regclass('chunk_vectors') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE EXTENSION IF NOT EXISTS vector;
    PERFORM set_config('search_path', format('public, %s, pg_temp', extnamespace::regnamespace), true)
       FROM pg_extension WHERE extname = 'vector';  -- wherever the server's people put it; until this returns
    CREATE TABLE IF NOT EXISTS turn_vectors (
        id bigint PRIMARY KEY REFERENCES turns ON DELETE CASCADE,
        model text NOT NULL,
        dimensions integer NOT NULL,
        vector vector NOT NULL,
        CHECK (vector_dims(vector) = dimensions)
    );
    CREATE TABLE IF NOT EXISTS chunk_vectors (
        id bigint PRIMARY KEY REFERENCES conversation_chunks ON DELETE CASCADE,
        model text NOT NULL,
        dimensions integer NOT NULL,
        vector vector NOT NULL,
        CHECK (vector_dims(vector) = dimensions)
    );
    PERFORM grant_roles();
END $$;

CREATE FUNCTION public.quarter_of(at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('00:15:00'::interval, at, '2000-01-01 00:00:00+00'::timestamp with time zone);

CREATE FUNCTION public.query_of(word text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
-- A lexeme as it is.
    SELECT ('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''')::tsquery
$$;

CREATE FUNCTION public.queue_of(wanted_agent text, can jsonb) RETURNS TABLE(id text)
    LANGUAGE sql STABLE
    AS $$
-- What the agent may claim, most urgent first: tasks that name it, and tasks that name only capabilities it has.
-- Both halves read tasks_claimable in its order, so that the first rows come without reading the rest.
    SELECT q.id FROM (
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name = wanted_agent
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created)
        UNION ALL
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name IS NULL AND t.capabilities <@ can
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created)
    ) AS q ORDER BY q.priority DESC, q.created OFFSET 0
$$;

CREATE FUNCTION public.rank_artifacts(driving tsquery, words tsquery[], weights real[], only_session text, only_type text, since timestamp with time zone, until timestamp with time zone, wanted integer) RETURNS TABLE(id text, score double precision)
    LANGUAGE plpgsql STABLE
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    SELECT f.id, b.score
      FROM (SELECT a.id, a.lexemes, avg(length(a.lexemes)) OVER () AS average
              FROM (SELECT * FROM artifacts o WHERE o.lexemes @@ driving LIMIT 4000) AS a
             WHERE (only_session IS NULL OR a.session_id = only_session) AND (only_type IS NULL OR a.type = only_type)
               AND (since IS NULL OR a.created >= since) AND (until IS NULL OR a.created < until)) AS f
     CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.chunk_k1, s.chunk_b) AS b
     WHERE b.score > 0 ORDER BY b.score DESC, f.id DESC LIMIT wanted;
END $$;

CREATE FUNCTION public.rank_chunks(driving tsquery, words tsquery[], weights real[], exact boolean, only_session text, only_speaker text, since timestamp with time zone, until timestamp with time zone, wanted integer) RETURNS TABLE(id bigint, score double precision)
    LANGUAGE plpgsql STABLE
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $_$
-- A chunk counts for all that it says, for the best turn in it or right beside it, and a little for the chunks beside it;
-- one beside a better one less, since who reads that reads on.
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        (SELECT c.* FROM conversation_chunks c
          WHERE only_session IS NULL AND c.lexemes @@ driving
            AND (only_speaker IS NULL OR c.participants ? only_speaker)
            AND (since IS NULL OR COALESCE(c.start_time, c.created) >= since)
            AND (until IS NULL OR COALESCE(c.start_time, c.created) < until)
          LIMIT 4000)
        UNION ALL
        (SELECT c.* FROM (SELECT * FROM conversation_chunks o WHERE o.session_id = only_session OFFSET 0) AS c
          WHERE c.lexemes @@ driving
            AND (only_speaker IS NULL OR c.participants ? only_speaker)
            AND (since IS NULL OR COALESCE(c.start_time, c.created) >= since)
            AND (until IS NULL OR COALESCE(c.start_time, c.created) < until))
    ), own AS (
        SELECT f.id, f.session_id, f.first_turn, f.last_turn, b.score,
               CASE WHEN f.chunk_id ~ '^[0-9]{1,9}$' THEN f.chunk_id::integer END AS place
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM found f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.chunk_k1, s.chunk_b) AS b
         ORDER BY b.score DESC, f.id DESC LIMIT 30 + wanted
    ), said AS MATERIALIZED (
        SELECT o.id AS chunk, t.seq, t.lexemes
          FROM own o JOIN turns t ON t.id BETWEEN o.first_turn - 1 AND o.last_turn + 1 AND t.session_id = o.session_id
    ), told AS (
        SELECT f.chunk, f.seq, COALESCE(b.score, 0) AS score
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM said f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
    ), turns_around AS (
        SELECT t.chunk, t.score + 0.5 * (COALESCE(lag(t.score) OVER w, 0) + COALESCE(lead(t.score) OVER w, 0)) AS score
          FROM told t WINDOW w AS (PARTITION BY t.chunk ORDER BY t.seq)
    ), best_turns AS MATERIALIZED (
        SELECT chunk, max(score) AS score FROM turns_around GROUP BY chunk
    ), mixed AS (
        SELECT o.id, o.session_id, o.place, o.score + 0.5 * COALESCE(t.score, 0) AS score
          FROM own o LEFT JOIN best_turns t ON t.chunk = o.id
    ), beside AS (
        SELECT m.id, m.score + 0.2 * (SELECT COALESCE(sum(n.score), 0) FROM mixed n
                                       WHERE n.session_id = m.session_id AND n.place IN (m.place - 1, m.place + 1)
                                         AND NOT exact) AS score,
               m.session_id, m.place
          FROM mixed m
    )
    SELECT b.id, b.score * CASE WHEN EXISTS (SELECT FROM beside n
                                              WHERE n.session_id = b.session_id AND abs(n.place - b.place) BETWEEN 1 AND 3
                                                AND n.score > b.score) THEN 0.9 ELSE 1 END
      FROM beside b ORDER BY 2 DESC, b.id DESC LIMIT wanted;
END $_$;

CREATE FUNCTION public.rank_memories(driving tsquery, words tsquery[], weights real[], only_session text, only_type text, only_speaker text, since timestamp with time zone, until timestamp with time zone, as_of timestamp with time zone, wanted integer) RETURNS TABLE(id bigint, root bigint, score double precision)
    LANGUAGE plpgsql STABLE
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
-- What was said again is one hit, in the words that fit best. `as_of`: what was in force at that time.
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT m.id, COALESCE(m.merged_into, m.id) AS root, m.lexemes, m.said_at
          FROM (SELECT * FROM memories o WHERE o.lexemes @@ driving OFFSET 0) AS m
         WHERE m.review <> 'rejected' AND (only_session IS NULL OR m.session_id = only_session)
           AND (only_type IS NULL OR m.type = only_type)
           AND (only_speaker IS NULL OR lower(m.speaker) = lower(only_speaker))
           AND (since IS NULL OR m.said_at >= since) AND (until IS NULL OR m.said_at < until)
           AND (as_of IS NULL OR m.said_at <= as_of)
         LIMIT 4000
    ), standing AS (
        SELECT f.* FROM found f JOIN memories r ON r.id = f.root
         WHERE as_of IS NULL OR ((r.superseded_at IS NULL OR r.superseded_at > as_of) AND r.review <> 'rejected')
    ), scored AS (
        SELECT f.id, f.root, f.said_at, b.score
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM standing f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
    )
    SELECT b.id, b.root, b.score
      FROM (SELECT DISTINCT ON (root) * FROM scored ORDER BY root, score DESC, said_at, id) AS b
     WHERE b.score > 0 ORDER BY b.score DESC, b.root DESC LIMIT wanted;
END $$;

CREATE FUNCTION public.rank_tasks(driving tsquery, words tsquery[], weights real[], only_session text, only_type text, only_agent text, since timestamp with time zone, until timestamp with time zone, wanted integer) RETURNS TABLE(id text, score double precision)
    LANGUAGE plpgsql STABLE
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    SELECT f.id, b.score
      FROM (SELECT t.id, w.words AS lexemes, avg(length(w.words)) OVER () AS average
              FROM (SELECT * FROM task_words o WHERE o.words @@ driving LIMIT 4000) AS w JOIN tasks t ON t.id = w.task_id
             WHERE (only_session IS NULL OR t.session_id = only_session) AND (only_type IS NULL OR t.task_type = only_type)
               AND (only_agent IS NULL OR lower(t.agent_name) = lower(only_agent))
               AND (since IS NULL OR t.created >= since) AND (until IS NULL OR t.created < until)) AS f
     CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
     WHERE b.score > 0 ORDER BY b.score DESC, f.id DESC LIMIT wanted;
END $$;

CREATE FUNCTION public.rank_turns(driving tsquery, words tsquery[], weights real[], named text[], exact boolean, only_session text, only_speaker text, since timestamp with time zone, until timestamp with time zone, wanted integer) RETURNS TABLE(id bigint, score double precision)
    LANGUAGE plpgsql STABLE
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
-- A turn counts for what it says, for what is said right before and after it (an answer seldom repeats the question), and
-- for the chunk that it is in; more when who speaks is named in the question. `exact`: only turns that hold `driving`.
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        (SELECT t.session_id, t.seq, t.lexemes FROM turns t
          WHERE only_session IS NULL AND t.lexemes @@ driving
            AND (since IS NULL OR COALESCE(t.start_time, t.created) >= since)
            AND (until IS NULL OR COALESCE(t.start_time, t.created) < until)
          LIMIT 4000)
        UNION ALL
        (SELECT t.session_id, t.seq, t.lexemes FROM (SELECT * FROM turns o WHERE o.session_id = only_session OFFSET 0) AS t
          WHERE t.lexemes @@ driving
            AND (since IS NULL OR COALESCE(t.start_time, t.created) >= since)
            AND (until IS NULL OR COALESCE(t.start_time, t.created) < until))
    ), own AS (
        SELECT f.session_id, f.seq, b.score
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM found f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
    ), around AS (
        SELECT o.session_id, o.seq + n.step AS seq,
               sum(o.score * n.share) * CASE WHEN bool_or(n.step = 0) THEN 1 ELSE 0.8 END AS score
          FROM own o CROSS JOIN (VALUES (0, 1.0), (1, 0.5), (-1, 0.5), (2, 0.2), (-2, 0.2)) AS n (step, share)
         WHERE n.step = 0 OR NOT exact
         GROUP BY 1, 2 ORDER BY 3 DESC LIMIT CASE WHEN only_speaker IS NULL THEN 60 + wanted ELSE 4000 END
    ), best AS (
        SELECT t.id, t.speaker, a.score, c.id AS chunk, c.lexemes
          FROM around a JOIN turns t ON t.session_id = a.session_id AND t.seq = a.seq
          LEFT JOIN LATERAL (SELECT o.id, o.lexemes, o.last_turn, o.session_id FROM conversation_chunks o
                              WHERE o.first_turn <= t.id ORDER BY o.first_turn DESC LIMIT 1) AS c
            ON c.last_turn >= t.id AND c.session_id = t.session_id
         WHERE only_speaker IS NULL OR lower(t.speaker) = lower(only_speaker)
    ), chunks AS MATERIALIZED (
        SELECT c.chunk, b.score
          FROM (SELECT d.chunk, d.lexemes, avg(length(d.lexemes)) OVER () AS average
                  FROM (SELECT DISTINCT ON (chunk) chunk, lexemes FROM best WHERE chunk IS NOT NULL) AS d) AS c
         CROSS JOIN LATERAL bm25(c.lexemes, words, weights, c.average, s.chunk_k1, s.chunk_b) AS b
    )
    SELECT b.id, (b.score + 0.3 * COALESCE(c.score, 0))
                 * CASE WHEN string_to_array(lower(b.speaker), ' ') && named THEN 1.6 ELSE 1 END AS score
      FROM best b LEFT JOIN chunks c ON c.chunk = b.chunk
     ORDER BY 2 DESC, b.id DESC LIMIT wanted;
END $$;

CREATE FUNCTION public.record_memory_event() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    happened text := CASE TG_OP WHEN 'INSERT' THEN 'created' ELSE memory_event(OLD, NEW) END;
BEGIN
    IF happened IS NOT NULL THEN
        INSERT INTO memory_events (memory, session_id, actor, event)
        VALUES (NEW.id, NEW.session_id, acting_person(), happened);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.record_task_move() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- Writes the move into task_events, frees what waited for a completed task, and wakes who waits for work.
-- The functions that move tasks say who moves and why; a plain UPDATE is the database user's.
DECLARE
    mover text := current_setting('ai_webhook.actor', true);
BEGIN
    INSERT INTO task_events (task_id, actor, from_status, to_status, attempts, reason)
    VALUES (NEW.id, CASE mover WHEN ':holder' THEN OLD.claimed_by ELSE COALESCE(NULLIF(mover, ''), current_user) END,
            CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status, NEW.attempts,
            NULLIF(current_setting('ai_webhook.reason', true), ''));
    IF NEW.status = 'completed' THEN
        UPDATE tasks SET waiting_for = waiting_for - 1 WHERE waiting_for > 0 AND depends_on @> ARRAY[NEW.id];
    ELSIF NEW.status = 'pending' THEN
        PERFORM pg_notify('ai_webhook_tasks', COALESCE(NEW.agent_name, '*'));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.recount_search_words() RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Counts afresh: after data was loaded in a way that fires triggers on what was counted already.
BEGIN
    LOCK TABLE conversation_chunks IN SHARE MODE;
    PERFORM pg_advisory_xact_lock(4827035);
    DELETE FROM search_changes;
    DELETE FROM search_words;
    INSERT INTO search_words (word, chunks)
    SELECT word, count(*) FROM conversation_chunks c, unnest(tsvector_to_array(c.lexemes) || ARRAY['']) AS word GROUP BY word;
END $$;

CREATE FUNCTION public.refresh_agents() RETURNS void
    LANGUAGE sql
    AS $$
-- Writes what agent_overview derives into the columns of agents, for those who read the table.
    UPDATE agents a SET status = o.status, current_tasks = o.current_tasks
      FROM agent_overview o
     WHERE o.name = a.name AND (a.status, a.current_tasks) IS DISTINCT FROM (o.status, o.current_tasks)
       AND a.status <> 'error'
$$;

CREATE FUNCTION public.refuse_claim(wanted_id text, token uuid, move text) RETURNS void
    LANGUAGE sql
    AS $$
    SELECT refuse_move(wanted_id, COALESCE(token, '00000000-0000-0000-0000-000000000000'), move)
$$;

CREATE FUNCTION public.refuse_move(wanted_id text, token uuid, move text) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Says why a guarded UPDATE found no row. The nil token stands for none given.
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks WHERE id = wanted_id;
    IF task.id IS NULL THEN
        RAISE EXCEPTION 'There is no task %.', wanted_id USING ERRCODE = 'AW005';
    ELSIF token IS NOT NULL AND (task.claim_token IS DISTINCT FROM token OR task.lease_until <= clock_timestamp()) THEN
        RAISE EXCEPTION 'This claim on task % is lost: the task is %.', wanted_id,
            CASE WHEN task.claim_token = token THEN 'past its lease'
                 WHEN task.status IN ('claimed', 'running') THEN 'claimed by ' || task.claimed_by
                 ELSE task.status END USING ERRCODE = 'AW001';
    END IF;
    RAISE EXCEPTION 'Task % is %, so it cannot be %.', wanted_id, task.status, move USING ERRCODE = 'AW002';
END $$;

CREATE FUNCTION public.register_agent(agent_name text, type text DEFAULT 'cli'::text, command text DEFAULT NULL::text, max_concurrent integer DEFAULT 4, capabilities jsonb DEFAULT '[]'::jsonb, metadata jsonb DEFAULT '{}'::jsonb) RETURNS public.agents
    LANGUAGE sql
    AS $$
-- Makes an agent known, or says anew what it is; counts as a heartbeat.
    INSERT INTO agents AS a (name, type, command, max_concurrent, capabilities, metadata, last_heartbeat)
    VALUES (agent_name, type, command, max_concurrent, capabilities, metadata, clock_timestamp())
    ON CONFLICT (name) DO UPDATE
       SET type = EXCLUDED.type, command = COALESCE(EXCLUDED.command, a.command),
           max_concurrent = EXCLUDED.max_concurrent, capabilities = EXCLUDED.capabilities,
           metadata = a.metadata || EXCLUDED.metadata, status = 'available',
           last_heartbeat = EXCLUDED.last_heartbeat, updated = clock_timestamp()
    RETURNING *
$$;

CREATE FUNCTION public.reinstate_memory(memory bigint, person text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
-- A person says that a memory was not replaced: it stands again, its tasks are in no doubt, and nothing that is read
-- again replaces it by the same one.
#variable_conflict use_column
DECLARE
    standing bigint;
    newer    bigint;
    changed  memories;
BEGIN
    PERFORM lock_memories(ARRAY[memory]);
    standing := standing_memory(memory);
    SELECT m.superseded_by INTO newer FROM memories m WHERE m.id = standing;
    IF newer IS NULL THEN
        RAISE EXCEPTION 'Memory % was not replaced.', standing USING ERRCODE = 'AW006';
    END IF;
    UPDATE memories m SET apart_from = m.apart_from || standing WHERE m.id = newer;
    UPDATE memories m SET superseded_by = NULL, apart_from = m.apart_from || newer,
           reviewed_by = COALESCE(person, acting_person()), reviewed_at = clock_timestamp()
     WHERE m.id = standing RETURNING * INTO changed;
    RETURN changed;
END $$;

CREATE FUNCTION public.reject_memory(memory bigint, person text DEFAULT NULL::text, reason text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE sql
    AS $$
-- It was not meant, or is wrong. It is kept, so that it is known and rejected when it is said again the same way; a
-- task nobody has begun is cancelled.
    SELECT review_memory(memory, 'rejected', person, COALESCE(reason, 'its memory was rejected'))
$$;

CREATE FUNCTION public.release_task(task_id text, claim_token uuid) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(':holder', 'released');
    UPDATE tasks t SET status = 'pending'
     WHERE t.id = task_id AND t.claim_token = release_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, release_task.claim_token, 'released');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.renew_task(task_id text, claim_token uuid, lease_seconds integer DEFAULT 300, progress real DEFAULT NULL::real, note text DEFAULT NULL::text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- Extends the lease. The holder of a task that somebody cancelled gets it back with status `cancelled`: stop.
#variable_conflict use_column
DECLARE
    task  tasks;
    lease interval := check_lease(lease_seconds);
BEGIN
    UPDATE tasks t SET lease_until = clock_timestamp() + lease,
           progress = COALESCE(renew_task.progress, t.progress), progress_note = COALESCE(note, t.progress_note),
           progressed_at = CASE WHEN (renew_task.progress IS NOT NULL AND renew_task.progress IS DISTINCT FROM t.progress)
                                  OR (note IS NOT NULL AND note IS DISTINCT FROM t.progress_note)
                                THEN clock_timestamp() ELSE t.progressed_at END
     WHERE t.id = task_id AND t.claim_token = renew_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        SELECT * INTO task FROM tasks t
         WHERE t.id = task_id AND t.last_token = renew_task.claim_token AND t.status = 'cancelled';
    END IF;
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, renew_task.claim_token, 'renewed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.replaceable_memories(newer bigint, parts text[]) RETURNS TABLE(id bigint, session_id text, type text, title text, content jsonb)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    AS $$
-- Decisions and ideas that stand and were said before a memory: those of its session, the latest first, and then those
-- of others that have all the words of a part.
#variable_conflict use_column
DECLARE
    n     memories;
    root  bigint;
    place integer[];
BEGIN
    SELECT * INTO n FROM memories m WHERE m.id = newer;
    root := COALESCE(n.merged_into, n.id);
    place := ARRAY[COALESCE((SELECT t.seq FROM turns t WHERE t.id = n.turn), 0), COALESCE(n.char_start, 0)];
    RETURN QUERY
    SELECT m.id, m.session_id, m.type, m.title, m.content
      FROM memories m LEFT JOIN turns t ON t.id = m.turn
     WHERE m.session_id = n.session_id AND m.type IN ('decision', 'idea') AND m.merged_into IS NULL
       AND m.superseded_by IS NULL AND m.review <> 'rejected' AND m.id <> root AND NOT m.apart_from && ARRAY[n.id, root]
       AND (m.said_at, COALESCE(t.seq, 0), COALESCE(m.char_start, 0), m.id) < (n.said_at, place[1], place[2], n.id)
     ORDER BY m.said_at DESC, t.seq DESC, m.char_start DESC, m.id DESC LIMIT 50;
    RETURN QUERY
    SELECT f.id, f.session_id, f.type, f.title, f.content FROM (
        SELECT DISTINCT ON (m.id) m.id, m.session_id, m.type, m.title, m.content, m.said_at
          FROM (SELECT memory_words('', u.part) AS words FROM unnest(parts) AS u (part)) AS p
         CROSS JOIN LATERAL (SELECT * FROM memories o
                              WHERE o.words @> p.words[2:] AND o.merged_into IS NULL OFFSET 0) AS m
         WHERE p.words <> '{}' AND m.session_id <> n.session_id AND m.type IN ('decision', 'idea')
           AND m.superseded_by IS NULL AND m.review <> 'rejected' AND m.id <> root
           AND NOT m.apart_from && ARRAY[n.id, root] AND m.said_at <= n.said_at AND m.id <> n.id) AS f
     ORDER BY f.said_at DESC, f.id DESC LIMIT 20;
END $$;

CREATE FUNCTION public.restore_memory(memory bigint, person text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
-- Takes back what a person said of it last, with what it did to tasks: a rejection, an acceptance, or that it was edited.
-- What it says stays.
DECLARE
    standing bigint := standing_memory(memory);
    before   text;
BEGIN
    SELECT CASE m.review WHEN 'rejected' THEN COALESCE(m.review_before, 'proposed') ELSE m.review_before END INTO before
      FROM memories m WHERE m.id = standing AND m.review <> 'proposed';
    -- An acceptance that took a rejection back is not itself taken back: nothing says that it is wrong again.
    IF before IS NULL OR before = 'rejected' THEN
        RAISE EXCEPTION 'Memory % is neither rejected nor accepted by a person.', standing USING ERRCODE = 'AW006';
    END IF;
    RETURN review_memory(standing, before, person, 'its memory was restored');
END $$;

CREATE FUNCTION public.restore_task(task_id text, person text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- Takes back what a person did with it last: an approval, an answer, or that it was cancelled. It waits again as it did;
-- one that somebody held is pending.
#variable_conflict use_column
DECLARE
    task tasks;
    last task_events;
    asks boolean;
    said text;
BEGIN
    PERFORM FROM tasks t WHERE t.id = restore_task.task_id FOR UPDATE;
    SELECT * INTO last FROM task_events e WHERE e.task_id = restore_task.task_id ORDER BY e.id DESC LIMIT 1;
    asks := last.from_status = 'needs_input';
    said := say_actor(person, 'restored');
    UPDATE tasks t
       SET status = CASE WHEN last.from_status IN ('claimed', 'running') THEN 'pending' ELSE last.from_status END,
           error_message = NULL,
           question = CASE WHEN asks THEN COALESCE((SELECT e.reason FROM task_events e
                                                     WHERE e.task_id = t.id AND e.to_status = 'needs_input'
                                                       AND e.from_status IN ('claimed', 'running')
                                                     ORDER BY e.id DESC LIMIT 1),
                                                   t.input_data -> 'answers' -> -1 ->> 'question', t.title) END,
           input_data = CASE WHEN last.to_status = 'cancelled' THEN t.input_data
                             WHEN asks THEN jsonb_set(t.input_data, '{answers}', (t.input_data -> 'answers') - -1)
                             ELSE t.input_data - 'approved_by' END
     WHERE t.id = restore_task.task_id AND t.status = last.to_status
       AND (t.status = 'cancelled' AND last.from_status IS NOT NULL
            OR t.status = 'pending' AND last.from_status IN ('proposed', 'needs_input'))
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(restore_task.task_id, NULL, 'restored');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.retitle_tasks() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- A task that nobody has begun says what its memory says after a person has edited it.
BEGIN
    UPDATE tasks t SET title = NEW.title, input_data = t.input_data || jsonb_build_object('title', NEW.title)
     WHERE t.memory = NEW.id AND t.title = OLD.title AND t.status IN ('proposed', 'pending');
    RETURN NULL;
END $$;

CREATE FUNCTION public.retry_delay(attempts integer) RETURNS interval
    LANGUAGE sql IMMUTABLE
    AS $$
-- 10 s, 20 s, 40 s … at most an hour.
    SELECT make_interval(secs => LEAST(3600, 10 * 2 ^ LEAST(attempts - 1, 12)))
$$;

CREATE FUNCTION public.retry_task(task_id text, person text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- A person gives a task that failed or was cancelled all its tries again.
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(person, 'retried');
    UPDATE tasks t SET status = 'pending', attempts = 0, not_before = NULL, error_message = NULL
     WHERE t.id = task_id AND t.status IN ('failed', 'cancelled')
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'retried');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.review_memory(memory bigint, wanted text, person text, reason text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    standing bigint;
    changed  memories;
    said     text;
BEGIN
    PERFORM lock_memories(ARRAY[memory]);
    standing := standing_memory(memory);
    said := say_actor(COALESCE(person, acting_person()), reason);
    UPDATE memories m SET review = wanted WHERE m.id = standing RETURNING * INTO changed;
    said := say_actor(NULL);
    RETURN changed;
END $$;

CREATE FUNCTION public.revive_tasks(memory_ids bigint[], reason text) RETURNS void
    LANGUAGE sql
    AS $$
-- Tasks that were cancelled for this reason are again what they were before.
    UPDATE tasks t SET error_message = NULL,
           status = (SELECT e.from_status FROM task_events e WHERE e.task_id = t.id ORDER BY e.id DESC LIMIT 1)
     WHERE t.memory = ANY (memory_ids) AND t.status = 'cancelled' AND t.error_message LIKE reason
$$;

CREATE FUNCTION public.rights_of_app(relation oid) RETURNS text
    LANGUAGE sql STABLE
    AS $$
-- History is added to and never rewritten; versions are the owner's.
    SELECT CASE WHEN c.relkind = 'S' THEN 'USAGE'
                WHEN c.relkind IN ('v', 'm') OR c.relname = 'schema_migrations' THEN 'SELECT'
                WHEN c.relname = 'memory_events'
                     OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'append_only')
                    THEN 'SELECT, INSERT'
                ELSE 'SELECT, INSERT, UPDATE, DELETE' END
      FROM pg_class c WHERE c.oid = relation
$$;

CREATE FUNCTION public.rights_of_reader(relation oid) RETURNS text
    LANGUAGE sql STABLE
    AS $$
-- Not who has which token or login, nor the bodies of deliveries, from which nothing was taken out. NULL for nothing.
    SELECT CASE WHEN c.relname = 'deliveries'
                    THEN (SELECT format('SELECT (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
                            FROM pg_attribute a
                           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                             AND a.attname <> ALL ('{body,fetched}'))
                WHEN c.relkind <> 'S'
                     AND c.relname <> ALL ('{tokens,repeatable_requests,people,logins,login_links,failed_logins,llm_answers,forgotten,audit_log}')
                    THEN 'SELECT' END
      FROM pg_class c WHERE c.oid = relation
$$;

CREATE FUNCTION public.role_of(kind text) RETURNS name
    LANGUAGE sql STABLE
    AS $$
-- Roles belong to the whole server: each database has its own.
    SELECT (left(current_database()::text, 50) || '_' || kind)::name
$$;

CREATE FUNCTION public.say_actor(actor text, reason text DEFAULT NULL::text) RETURNS text
    LANGUAGE sql
    AS $$
-- Who moves tasks in the statements that follow, and why: for task_events. `:holder` is whoever held the task, nobody
-- (NULL) the database user. Who says it takes it back, lest a later statement be put down to them.
    SELECT set_config('ai_webhook.actor', COALESCE(actor, ''), true)
        || set_config('ai_webhook.reason', COALESCE(reason, ''), true)
$$;

CREATE FUNCTION public.say_delivery_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO delivery_changes VALUES (quarter_of(CASE TG_OP WHEN 'INSERT' THEN NEW.received_at ELSE OLD.received_at END));
    RETURN NULL;
END $$;

CREATE FUNCTION public.sayings_of(memory bigint) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
-- The ids of a memory that stands and of all that are merged into it.
    SELECT memory UNION ALL SELECT m.id FROM memories m WHERE m.merged_into = memory
$$;

CREATE FUNCTION public.search(question text, kinds text[] DEFAULT '{turns,memories,tasks,artifacts}'::text[], only_session text DEFAULT NULL::text, only_type text DEFAULT NULL::text, only_speaker text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, as_of timestamp with time zone DEFAULT NULL::timestamp with time zone, max_results integer DEFAULT 10, unfinished boolean DEFAULT false, meaning real[] DEFAULT NULL::real[], model text DEFAULT NULL::text) RETURNS TABLE(kind text, id text, session_id text, speaker text, type text, turn_seq integer, at timestamp with time zone, score double precision, body text, found tsquery, explained jsonb)
    LANGUAGE plpgsql STABLE
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $_$
-- What answers a question, best first. A plain question finds what shares its rarer words, with their other forms;
-- "words in quotes" and -words are kept to (websearch_to_tsquery), unless nothing fits that and there is more to the
-- question. Nothing found: words that are spelt nearly so. `meaning`, of `model`, is the question as a vector.
-- The score is the share of the best there could be: what the question's words are worth, each said often.
#variable_conflict use_column
DECLARE
    languages text[] := search_languages(only_session);
    exactly   boolean := question ~ '"|(^|\s)-\w';
    plain     text := CASE WHEN exactly THEN regexp_replace(question, '(^|\s)-("[^"]*"|\S+)', ' ', 'g')
                           ELSE question END;
    only_quotes boolean := regexp_replace(question, '-?"[^"]*"?|(^|\s)-\S+', ' ', 'g') !~ '[[:alnum:]]';
    named     text[] := ARRAY(SELECT DISTINCT regexp_replace(lower(m[1]), '''s$', '')
                                FROM regexp_matches(left(question, 10000), '[[:alpha:]][[:alpha:]''-]+', 'g') AS m
                               WHERE lower(m[1]) NOT IN ('speaker', 'user', 'assistant', 'agent', 'the', 'unknown',
                                                         'caller'));
    pool      integer := 50 * ceil(max_results / 50.0);  -- the same for the pages of a list, so that they fit together
    asked     text[];
    terms     text[];
    words     tsquery[];
    weights   real[];
    chunks    bigint[];
    best      double precision;
    few       boolean;
    meant     real[];
    said      text[] := CASE WHEN only_type IS NULL AND as_of IS NULL THEN kinds ELSE '{}' END;  -- of turns and chunks
    driving   tsquery;  -- what is looked at, of turns and chunks
    wide      tsquery;  -- and of memories, tasks and artifacts, which are fewer and say things their own way
    must      tsquery;
BEGIN
    FOR attempt IN 0 .. 3 LOOP
        CONTINUE WHEN attempt = 0 AND NOT exactly OR attempt = 2 AND (only_session IS NOT NULL OR driving = wide);
        must := NULL;
        SELECT array_agg(t.asked), array_agg(t.word), array_agg(query_of(t.word)), array_agg(t.weight),
               array_agg(t.chunks)
          INTO asked, terms, words, weights, chunks FROM search_terms(plain, languages, unfinished, attempt = 3) AS t;
        IF words IS NULL THEN
            RETURN;
        END IF;
        SELECT sum(w.weight), count(*) < 3 INTO best, few
          FROM (SELECT max(u.weight) AS weight FROM unnest(asked, weights) AS u (asked, weight) GROUP BY u.asked) AS w;
        IF attempt = 0 THEN
            must := websearch_to_tsquery(('pg_catalog.' || languages[1])::regconfig, left(question, 10000));
            driving := must;
            wide := must;
        ELSE
            driving := search_driving(asked, words, chunks, CASE WHEN only_session IS NULL AND attempt = 1 THEN 500 END);
            wide := search_driving(asked, words, chunks, CASE WHEN only_session IS NULL AND attempt = 1 THEN 20000 END);
        END IF;
        meant := CASE WHEN attempt > 0 THEN meaning END;
        RETURN QUERY
        WITH ranked AS (
            SELECT 'turns' AS kind, r.id::text AS id, 0.6 * r.score AS score, r.id AS number, NULL::bigint AS saying
              FROM (SELECT array_agg(f.id ORDER BY f.place) AS ids, array_agg(f.score ORDER BY f.place) AS scores
                      FROM rank_turns(driving, words, weights, named, attempt = 0 OR few, only_session, only_speaker, since,
                                      until, pool) WITH ORDINALITY AS f (id, score, place)
                     WHERE 'turns' = ANY (said)) AS w
             CROSS JOIN LATERAL with_meaning('turns', w.ids, w.scores, meant, model, only_session, only_speaker, since,
                                             until, pool) AS r
             WHERE 'turns' = ANY (said)
             UNION ALL
            SELECT 'chunks', r.id::text, 0.5 * r.score, r.id, NULL
              FROM (SELECT array_agg(f.id ORDER BY f.place) AS ids, array_agg(f.score ORDER BY f.place) AS scores
                      FROM rank_chunks(driving, words, weights, attempt = 0, only_session, only_speaker, since, until,
                                       pool) WITH ORDINALITY AS f (id, score, place)
                     WHERE 'chunks' = ANY (said)) AS w
             CROSS JOIN LATERAL with_meaning('chunks', w.ids, w.scores, meant, model, only_session, only_speaker, since,
                                             until, pool) AS r
             WHERE 'chunks' = ANY (said)
             UNION ALL
            SELECT 'memories', r.root::text, r.score, r.root, r.id
              FROM rank_memories(wide, words, weights, only_session, only_type, only_speaker, since, until, as_of, pool) AS r
             WHERE 'memories' = ANY (kinds)
             UNION ALL
            SELECT 'tasks', r.id, r.score, NULL, NULL
              FROM rank_tasks(wide, words, weights, only_session, only_type, only_speaker, since, until, pool) AS r
             WHERE 'tasks' = ANY (kinds) AND as_of IS NULL
             UNION ALL
            SELECT 'artifacts', r.id, r.score, NULL, NULL
              FROM rank_artifacts(wide, words, weights, only_session, only_type, since, until, pool) AS r
             WHERE 'artifacts' = ANY (kinds) AND only_speaker IS NULL AND as_of IS NULL
        ), top AS (
            SELECT r.*, row_number() OVER () AS place
              FROM (SELECT * FROM ranked WHERE score > 0
                     ORDER BY score DESC, kind, number DESC, id DESC LIMIT max_results) AS r
        ), whole AS (
            SELECT r.place, r.kind, r.id, t.session_id, t.speaker, NULL AS type, t.seq AS turn_seq,
                   COALESCE(t.start_time, t.created) AS at, r.score,
                   t.text || COALESCE(E'\n' || t.caption, '') AS body, t.lexemes
              FROM top r JOIN turns t ON t.id = r.number WHERE r.kind = 'turns'
             UNION ALL
            SELECT r.place, r.kind, c.chunk_id, c.session_id, NULL, c.format, f.seq, COALESCE(c.start_time, c.created), r.score,
                   c.content, c.lexemes
              FROM top r JOIN conversation_chunks c ON c.id = r.number LEFT JOIN turns f ON f.id = c.first_turn
             WHERE r.kind = 'chunks'
             UNION ALL
            SELECT r.place, r.kind, r.id, m.session_id, m.speaker, m.type, t.seq, m.said_at, r.score,
                   COALESCE(m.quote, m.title), m.lexemes
              FROM top r JOIN memories m ON m.id = r.saying LEFT JOIN turns t ON t.id = m.turn WHERE r.kind = 'memories'
             UNION ALL
            SELECT r.place, r.kind, r.id, t.session_id, t.agent_name, t.task_type, NULL, t.created, r.score, t.title, w.words
              FROM top r JOIN tasks t ON t.id = r.id JOIN task_words w ON w.task_id = t.id WHERE r.kind = 'tasks'
             UNION ALL
            SELECT r.place, r.kind, r.id, a.session_id, NULL, a.type, NULL, a.created, r.score,
                   a.name || E'\n' || a.content, a.lexemes
              FROM top r JOIN artifacts a ON a.id = r.id WHERE r.kind = 'artifacts'
        )
        SELECT w.kind, w.id, w.session_id, w.speaker, w.type, w.turn_seq, w.at,
               round((w.score / GREATEST(best * 2, 0.001))::numeric, 4)::double precision, w.body,
               COALESCE(must, (SELECT string_agg(u::text, ' | ')::tsquery FROM unnest(words) AS u)),
               (SELECT jsonb_object_agg(u.word, round((u.weight / GREATEST(best, 0.001))::numeric, 3))
                  FROM unnest(terms, words, weights) AS u (word, query, weight) WHERE w.lexemes @@ u.query)
          FROM whole w ORDER BY w.place;
        EXIT WHEN FOUND OR (attempt = 0 AND only_quotes);
    END LOOP;
END $_$;

CREATE FUNCTION public.search_driving(asked text[], words tsquery[], chunks bigint[], most bigint) RETURNS tsquery
    LANGUAGE plpgsql IMMUTABLE
    AS $$
-- What a text has to hold to be looked at: one of the rarest words, as many of them as together are in not more chunks
-- than `most` (NULL: all); when even the rarest is in more, it and one other. Rarest first.
DECLARE
    driving tsquery;
    others  tsquery;
    many    bigint := 0;
BEGIN
    FOR i IN 1 .. cardinality(words) LOOP
        EXIT WHEN many > 0 AND many + chunks[i] > most;
        many := many + chunks[i];
        IF many > most THEN
            FOR j IN i + 1 .. cardinality(words) LOOP
                CONTINUE WHEN asked[j] = asked[i];
                others := CASE WHEN others IS NULL THEN words[j] ELSE others || words[j] END;
            END LOOP;
        END IF;
        others := CASE WHEN others IS NULL THEN words[i] ELSE words[i] && others END;
        driving := CASE WHEN driving IS NULL THEN others ELSE driving || others END;
        others := NULL;
    END LOOP;
    RETURN driving;
END $$;

CREATE FUNCTION public.search_languages(only_session text DEFAULT NULL::text) RETURNS text[]
    LANGUAGE sql STABLE
    AS $$
-- The languages in which a question may be meant: that of the session, or all there are.
    WITH RECURSIVE known (language) AS (
        (SELECT language FROM sessions WHERE only_session IS NULL ORDER BY language LIMIT 1)
        UNION ALL
        SELECT (SELECT s.language FROM sessions s WHERE s.language > k.language ORDER BY s.language LIMIT 1)
          FROM known k WHERE k.language IS NOT NULL
    )
    SELECT COALESCE(array_agg(language), '{english}') FROM (
        SELECT language FROM known WHERE language IS NOT NULL
        UNION SELECT language FROM sessions WHERE id = only_session) AS s
$$;

CREATE FUNCTION public.search_terms(question text, languages text[] DEFAULT '{english}'::text[], unfinished boolean DEFAULT false, misspelt boolean DEFAULT false) RETURNS TABLE(asked text, word text, weight real, chunks bigint)
    LANGUAGE sql STABLE
    AS $_$
-- The words to look for, rarest first, each with how much it counts: its own rarity, less for another form of what was
-- asked. `unfinished`: the last word may be the beginning of one. `misspelt`: for words that nobody said, those that are
-- spelt nearly so.
    WITH wanted AS (
        SELECT u.lexeme AS asked, min(u.positions[1]) AS place
          FROM unnest(languages) AS l (language), unnest(words_of(l.language, left(question, 10000))) AS u
         GROUP BY u.lexeme ORDER BY 2, 1 LIMIT 200
    ), tail AS (
        SELECT lower(substring(question FROM '([[:alnum:]]{2,40})$')) AS begun WHERE unfinished
    ), told AS (
        SELECT w.asked, w.asked AS word, 1.0 AS share FROM wanted w
         UNION ALL SELECT w.asked, f.form, 0.6 FROM wanted w JOIN word_forms f ON f.word = w.asked
         UNION ALL
        SELECT t.begun, s.word, 0.8
          FROM tail t CROSS JOIN LATERAL (
               SELECT word FROM search_words WHERE word >= t.begun AND word < t.begun || U&'\FFFF' AND chunks > 0
                ORDER BY chunks DESC LIMIT 20) AS s
         UNION ALL
        SELECT w.asked, s.word, 0.6 * s.alike
          FROM (SELECT * FROM wanted ORDER BY place LIMIT 12) AS w CROSS JOIN LATERAL (
               SELECT word, similarity(word, w.asked) AS alike FROM search_words
                WHERE word % w.asked AND chunks > 0 AND word <> w.asked
                ORDER BY similarity(word, w.asked) DESC, chunks DESC, word LIMIT 5) AS s
         WHERE misspelt AND length(w.asked) >= 3
           AND NOT EXISTS (SELECT FROM search_words k WHERE k.word = w.asked AND k.chunks > 0)
    ), forms AS (
        SELECT t.asked, t.word, max(t.share) AS share FROM told t GROUP BY t.asked, t.word
    ), changes AS (
        SELECT u.word, sum(u.n) AS n FROM search_changes c, unnest(c.words, c.counts) AS u (word, n)
         WHERE u.word = '' OR u.word IN (SELECT word FROM forms) GROUP BY u.word
    ), known AS (
        SELECT COALESCE((SELECT chunks FROM search_words WHERE word = ''), 0)
               + COALESCE((SELECT n FROM changes WHERE word = ''), 0) AS chunks
    ), counted AS (
        SELECT f.asked, f.word, f.share,
               GREATEST(0, COALESCE(s.chunks, 0) + COALESCE(c.n, 0)) AS chunks
          FROM forms f LEFT JOIN search_words s ON s.word = f.word LEFT JOIN changes c ON c.word = f.word
    ), together AS (
        SELECT c.*, LEAST(k.chunks, sum(c.chunks) OVER (PARTITION BY c.asked)) AS of_all_forms, k.chunks AS n
          FROM counted c CROSS JOIN known k
    )
    SELECT b.* FROM (
        SELECT DISTINCT ON (t.chunks = 0, t.chunks, t.word) t.asked, t.word,
               (t.share * ln(1 + (t.n - t.of_all_forms + 0.5) / (t.of_all_forms + 0.5)))::real AS weight, t.chunks::bigint
          FROM together t ORDER BY t.chunks = 0, t.chunks, t.word, t.share DESC LIMIT 64) AS b
     ORDER BY b.chunks, b.word
$_$;

CREATE FUNCTION public.sessions_of_person(person text) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
-- Where they spoke or took part, or a memory is put down to them, in the order in which sessions are locked.
    WITH known AS MATERIALIZED (SELECT array_agg(n) AS names FROM names_of_person(person) AS n), found AS (
        SELECT t.session_id FROM known k JOIN turns t ON lower(t.speaker) = ANY (k.names)
         UNION
        SELECT m.session_id FROM known k JOIN memories m ON lower(m.speaker) = ANY (k.names)
         UNION
        SELECT s.id FROM known k, sessions s, jsonb_array_elements(s.participants) AS p (one)
         WHERE lower(p.one #>> '{}') = ANY (k.names) OR lower(p.one ->> 'name') = ANY (k.names)
    )
    SELECT f.session_id FROM found f ORDER BY f.session_id
$$;

CREATE FUNCTION public.settle_events() RETURNS void
    LANGUAGE plpgsql
    AS $$
-- After a restore into another server, whose transactions count from elsewhere: what is stored is long complete, and new
-- events have to come after it. A subscription goes on from the first event that it had not read: what it reads twice
-- because of that is known by its event.
DECLARE
    next_xact bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
    IF EXISTS (SELECT FROM task_events WHERE xact > next_xact) OR EXISTS (SELECT FROM memory_events WHERE xact > next_xact)
       OR EXISTS (SELECT FROM subscriptions WHERE split_part(position, '-', 1)::bigint > next_xact) THEN
        UPDATE subscriptions s SET position = '0-' || COALESCE(
            (SELECT min(e.id) - 1
               FROM (SELECT xact, id FROM task_events UNION ALL SELECT xact, id FROM memory_events) AS e
              WHERE (e.xact, e.id) > (split_part(s.position, '-', 1)::bigint, split_part(s.position, '-', 2)::bigint)),
            (SELECT max(e.id) FROM (SELECT id FROM task_events UNION ALL SELECT id FROM memory_events) AS e),
            0);
        ALTER TABLE task_events DISABLE TRIGGER append_only;
        UPDATE task_events SET xact = 0;
        ALTER TABLE task_events ENABLE TRIGGER append_only;
        UPDATE memory_events SET xact = 0;
    END IF;
END $$;

CREATE FUNCTION public.split_memory(memory bigint, person text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
-- A person says that this is not the same as what it is merged into. It stands again and is not merged there anew; an
-- action item has a task of its own again.
#variable_conflict use_column
DECLARE
    who   text := COALESCE(person, acting_person());
    alone memories;
    root  bigint;
    said  text;
BEGIN
    PERFORM lock_memories(ARRAY[memory]);
    SELECT m.merged_into INTO root FROM memories m WHERE m.id = memory;
    IF root IS NULL THEN
        RAISE EXCEPTION 'Memory % is not merged into another.', memory USING ERRCODE = 'AW006';
    END IF;
    said := say_actor(who, 'split from memory ' || root);
    UPDATE memories m SET merged_into = NULL, merged_by = who, apart_from = m.apart_from || root,
           review = CASE m.review WHEN 'rejected' THEN 'proposed' ELSE m.review END
     WHERE m.id = memory RETURNING * INTO alone;
    UPDATE memories m SET apart_from = m.apart_from || memory WHERE m.id = root;
    PERFORM revive_tasks(ARRAY[memory], 'Said again: %');
    INSERT INTO tasks (session_id, agent_name, capabilities, task_type, title, status, priority, input_data, memory, delivery)
    SELECT alone.session_id, t.agent_name, t.capabilities, t.task_type, alone.title,
           (SELECT e.to_status FROM task_events e WHERE e.task_id = t.id ORDER BY e.id LIMIT 1), t.priority,
           jsonb_strip_nulls(jsonb_build_object('title', alone.title, 'quote', alone.quote, 'speaker', alone.speaker)),
           alone.id, alone.delivery
      FROM tasks t
     WHERE alone.type = 'action_item' AND alone.review <> 'rejected' AND t.memory IN (SELECT sayings_of(root))
       AND NOT EXISTS (SELECT FROM tasks o WHERE o.memory = alone.id)
     ORDER BY t.created LIMIT 1;
    said := say_actor(NULL);
    RETURN alone;
END $$;

CREATE FUNCTION public.standing_memory(memory bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
-- The memory that stands for this one: itself, or the one that it is merged into.
DECLARE
    standing bigint;
BEGIN
    SELECT COALESCE(m.merged_into, m.id) INTO standing FROM memories m WHERE m.id = memory;
    IF standing IS NULL THEN
        RAISE EXCEPTION 'There is no memory %.', memory USING ERRCODE = 'AW008';
    END IF;
    RETURN standing;
END $$;

CREATE FUNCTION public.start_task(task_id text, claim_token uuid, process_id integer DEFAULT NULL::integer) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
    said text;
BEGIN
    said := say_actor(':holder');
    UPDATE tasks t SET status = 'running', process_id = COALESCE(start_task.process_id, t.process_id)
     WHERE t.id = task_id AND t.claim_token = start_task.claim_token AND t.status = 'claimed'
       AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_claim(task_id, start_task.claim_token, 'started');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.supersede_memory(memory bigint, by_memory bigint, person text DEFAULT NULL::text) RETURNS public.memories
    LANGUAGE plpgsql
    AS $$
-- A person says that a memory was replaced by another. Both are kept; reinstate_memory() undoes it.
#variable_conflict use_column
DECLARE
    old_one bigint;
    new_one bigint;
    changed memories;
BEGIN
    PERFORM lock_memories(ARRAY[memory, by_memory]);
    old_one := standing_memory(memory);
    new_one := standing_memory(by_memory);
    IF EXISTS (WITH RECURSIVE later (id) AS (
                   SELECT new_one UNION SELECT m.superseded_by FROM later l JOIN memories m ON m.id = l.id)
               SELECT FROM later WHERE id = old_one) THEN
        RAISE EXCEPTION 'Memory % would be replaced by itself.', old_one USING ERRCODE = 'AW006';
    END IF;
    UPDATE memories m SET superseded_by = new_one, superseded_at = clock_timestamp(),
           apart_from = array_remove(m.apart_from, new_one), reviewed_by = COALESCE(person, acting_person()),
           reviewed_at = clock_timestamp()
     WHERE m.id = old_one RETURNING * INTO changed;
    RETURN changed;
END $$;

CREATE FUNCTION public.take_language() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- What is written is in the language of its session.
BEGIN
    NEW.language := COALESCE((SELECT s.language FROM sessions s WHERE s.id = NEW.session_id), 'english');
    RETURN NEW;
END $$;

CREATE FUNCTION public.task_is_whole(task public.tasks) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
    held    boolean := task.status IN ('claimed', 'running');
    ended   boolean := task.status IN ('completed', 'failed', 'cancelled');
    problem text := CASE
        WHEN NOT (held OR ended OR task.status IN ('proposed', 'pending', 'needs_input')) THEN 'tasks_status_check'
        WHEN held <> (task.claim_token IS NOT NULL) THEN 'a_held_task_has_a_token'
        WHEN held <> (task.lease_until IS NOT NULL) THEN 'a_held_task_has_a_lease'
        WHEN held AND num_nulls(task.claimed_by, task.claimed_at) > 0 THEN 'a_held_task_has_a_holder'
        WHEN task.status = 'running' AND task.started IS NULL THEN 'a_running_task_has_started'
        WHEN ended <> (task.completed IS NOT NULL) THEN 'an_ended_task_has_its_time'
        WHEN (task.status = 'needs_input') <> (task.question IS NOT NULL) THEN 'an_asking_task_has_its_question'
        WHEN task.slot IS NOT NULL AND NOT held THEN 'only_a_held_task_has_a_slot'
        WHEN task.agent_name IS NULL AND task.capabilities = '[]' THEN 'a_task_is_for_an_agent_or_a_capability'
        WHEN jsonb_typeof(task.capabilities) <> 'array' THEN 'tasks_capabilities_check'
        WHEN task.id = '' OR length(task.id) > 200 THEN 'tasks_id_check'
        WHEN task.attempts < 0 THEN 'tasks_attempts_check'
        WHEN task.max_attempts < 1 THEN 'tasks_max_attempts_check'
        WHEN task.waiting_for < 0 THEN 'tasks_waiting_for_check'
        WHEN task.id = ANY (task.depends_on) THEN 'a_task_does_not_depend_on_itself'
        WHEN jsonb_typeof(task.acceptance) <> 'object' THEN 'tasks_acceptance_check'
        WHEN NOT task.progress BETWEEN 0 AND 1 THEN 'tasks_progress_check'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'A task is refused: it breaks %.', problem USING ERRCODE = 'check_violation', CONSTRAINT = problem;
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION public.times_said(rank real) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
-- How often a text holds a word, from ts_rank(), which adds up 1/i² for each time and divides by π²/6.
    SELECT width_bucket(rank, '{0.3,0.68,0.79,0.845,0.877,0.898,0.912,0.923,0.932,0.939,0.944}'::real[])
$$;

CREATE FUNCTION public.told_with_claim(task_id text) RETURNS TABLE(doubt text, command jsonb)
    LANGUAGE sql
    AS $$
-- Volatile, so that it reads what is there now. What joins claim_task() to tasks reads them as they were when the
-- statement began, and would keep a task that was added after that from who has just claimed it.
    SELECT t.doubt, t.command FROM tasks t WHERE t.id = task_id
$$;

CREATE FUNCTION public.unmet_acceptance(rule jsonb, output_data jsonb, artifact_ids text[]) RETURNS text
    LANGUAGE sql STABLE
    AS $$
-- Which part of a task's acceptance rule a completion does not meet; NULL when it meets all of them.
    SELECT CASE
        WHEN rule ? 'artifact_types' AND EXISTS (
                 SELECT FROM jsonb_array_elements_text(rule -> 'artifact_types') AS needed (type)
                  WHERE NOT EXISTS (SELECT FROM artifacts a WHERE a.id = ANY (artifact_ids) AND a.type = needed.type))
            THEN 'an artifact of each type in ' || (rule ->> 'artifact_types') || ' is needed'
        WHEN rule ? 'exit_code' AND (output_data -> 'exit_code') IS DISTINCT FROM (rule -> 'exit_code')
            THEN 'the exit code has to be ' || (rule ->> 'exit_code')
        WHEN rule ? 'output_matches' AND NOT COALESCE(output_data::text ~ (rule ->> 'output_matches'), false)
            THEN 'the output has to match ' || (rule ->> 'output_matches')
    END
$$;

CREATE FUNCTION public.wake_freed_task() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_notify('ai_webhook_tasks', COALESCE(NEW.agent_name, '*'));
    RETURN NULL;
END $$;

CREATE FUNCTION public.with_meaning(kind text, ids bigint[], scores double precision[], meaning real[], model text, only_session text, only_speaker text, since timestamp with time zone, until timestamp with time zone, wanted integer) RETURNS TABLE(id bigint, score double precision)
    LANGUAGE plpgsql STABLE
    AS $_$
-- A list of turns or chunks found by words, with those that mean nearly what is asked: both scores are measured in
-- standard deviations and added. The scores of the list go to the places of the new one, so that they compare with others.
-- Without a vector for the question, or any for texts, the list as it is.
#variable_conflict use_column
DECLARE
    weight real := (SELECT CASE kind WHEN 'turns' THEN s.turn_meaning ELSE s.chunk_meaning END FROM search_settings s);
BEGIN
    IF meaning IS NULL OR to_regclass('turn_vectors') IS NULL THEN
        RETURN QUERY SELECT * FROM unnest(ids, scores);
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        WITH by_words AS (
            SELECT w.id, w.score, w.place FROM unnest($1, $2) WITH ORDINALITY AS w (id, score, place)
        ), near AS (
            SELECT v.id FROM %1$I v JOIN %2$I t ON t.id = v.id
             WHERE v.model = $4 AND v.dimensions = cardinality($3) AND ($5 IS NULL OR t.session_id = $5)
               AND ($6 IS NULL OR %3$s) AND ($7 IS NULL OR COALESCE(t.start_time, t.created) >= $7)
               AND ($8 IS NULL OR COALESCE(t.start_time, t.created) < $8)
             ORDER BY v.vector::vector(%4$s) <=> $3::vector(%4$s) LIMIT $9
        ), both_lists AS (
            SELECT id FROM by_words UNION SELECT id FROM near
        ), measured AS (
            SELECT b.id, COALESCE(w.score, 0) AS words, 1 - (v.vector::vector(%4$s) <=> $3::vector(%4$s)) AS meaning
              FROM both_lists b LEFT JOIN by_words w ON w.id = b.id
              LEFT JOIN %1$I v ON v.id = b.id AND v.model = $4 AND v.dimensions = cardinality($3)
        ), standard AS (
            SELECT m.id, (m.words - avg(m.words) OVER ()) / NULLIF(stddev_pop(m.words) OVER (), 0) AS words,
                   (m.meaning - avg(m.meaning) OVER ()) / NULLIF(stddev_pop(m.meaning) OVER (), 0) AS meaning
              FROM measured m
        ), placed AS (
            SELECT s.id, row_number() OVER (ORDER BY COALESCE(s.words, 0) + $10 * COALESCE(s.meaning, 0) DESC,
                                                     s.id DESC) AS place
              FROM standard s
        )
        SELECT p.id, COALESCE(w.score, (SELECT min(score) FROM by_words) * 0.99, 0.1) * (1 - 0.0001 * p.place)
          FROM placed p LEFT JOIN by_words w ON w.place = p.place
         WHERE p.place <= $9 ORDER BY p.place $sql$,
        CASE kind WHEN 'turns' THEN 'turn_vectors' ELSE 'chunk_vectors' END,
        CASE kind WHEN 'turns' THEN 'turns' ELSE 'conversation_chunks' END,
        CASE kind WHEN 'turns' THEN 'lower(t.speaker) = lower($6)' ELSE 't.participants ? $6' END,
        cardinality(meaning))
    USING ids, scores, meaning, model, only_session, only_speaker, since, until, wanted, weight;
END $_$;

CREATE FUNCTION public.word_groups(words text[]) RETURNS TABLE(part text[])
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
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

CREATE TABLE public.sessions (
    id text NOT NULL,
    title text,
    participants jsonb DEFAULT '[]'::jsonb NOT NULL,
    context text,
    status text DEFAULT 'active'::text NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    last_activity timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    conversation_chunk_count integer DEFAULT 0 NOT NULL,
    memory_count integer DEFAULT 0 NOT NULL,
    task_count integer DEFAULT 0 NOT NULL,
    artifact_count integer DEFAULT 0 NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    live boolean DEFAULT false NOT NULL,
    language text DEFAULT 'english'::text NOT NULL,
    forgets_until timestamp with time zone,
    CONSTRAINT sessions_artifact_count_check CHECK ((artifact_count >= 0)),
    CONSTRAINT sessions_check CHECK (((status = 'completed'::text) = (completed_at IS NOT NULL))),
    CONSTRAINT sessions_conversation_chunk_count_check CHECK ((conversation_chunk_count >= 0)),
    CONSTRAINT sessions_id_check CHECK (((id <> ''::text) AND (length(id) <= 200))),
    CONSTRAINT sessions_language_check CHECK (public.is_language(language)),
    CONSTRAINT sessions_memory_count_check CHECK ((memory_count >= 0)),
    CONSTRAINT sessions_participants_check CHECK ((jsonb_typeof(participants) = 'array'::text)),
    CONSTRAINT sessions_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'completed'::text]))),
    CONSTRAINT sessions_task_count_check CHECK ((task_count >= 0))
);

COMMENT ON COLUMN public.sessions.live IS 'told segment by segment; completed by itself when nothing comes for a while';

COMMENT ON COLUMN public.sessions.language IS 'the text search configuration for what is said in it; simple for languages that have none';

COMMENT ON COLUMN public.sessions.forgets_until IS 'when a part of it was forgotten: deliveries that came before are dropped';

CREATE VIEW public.active_sessions AS
 SELECT id,
    title,
    participants,
    context,
    status,
    created,
    last_activity,
    conversation_chunk_count,
    memory_count,
    task_count,
    artifact_count,
    ( SELECT count(*) AS count
           FROM public.tasks t
          WHERE ((t.session_id = s.id) AND (t.status <> ALL (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])))) AS active_tasks
   FROM public.sessions s
  WHERE (status = 'active'::text)
  ORDER BY last_activity DESC;

CREATE VIEW public.agent_overview AS
 SELECT a.name,
    a.type,
    a.command,
    a.max_concurrent,
    a.capabilities,
    a.last_heartbeat,
    a.metadata,
    a.created,
    a.updated,
        CASE
            WHEN (a.status = 'error'::text) THEN 'error'::text
            WHEN ((a.type = 'unknown'::text) OR (a.status = 'offline'::text) OR (a.last_heartbeat < (clock_timestamp() - '00:02:00'::interval))) THEN 'offline'::text
            WHEN (h.held >= a.max_concurrent) THEN 'busy'::text
            ELSE 'available'::text
        END AS status,
    h.held AS current_tasks
   FROM public.agents a,
    LATERAL ( SELECT (count(*))::integer AS held
           FROM public.tasks t
          WHERE ((t.agent_name = a.name) AND (t.status = ANY (ARRAY['claimed'::text, 'running'::text])))) h;

CREATE TABLE public.artifacts (
    id text DEFAULT ('artifact_'::text || "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 12)) NOT NULL,
    session_id text,
    task_id text,
    type text DEFAULT 'document'::text NOT NULL,
    name text NOT NULL,
    content text NOT NULL,
    format text DEFAULT 'text'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    delivery text,
    language text NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (public.words_of(language, ((name || ' '::text) || content))) STORED NOT NULL,
    bytes bytea,
    sha256 text GENERATED ALWAYS AS (encode(sha256(COALESCE(bytes, public.convert_to_utf8(content))), 'hex'::text)) STORED NOT NULL,
    size integer GENERATED ALWAYS AS (octet_length(COALESCE(bytes, public.convert_to_utf8(content)))) STORED NOT NULL,
    CONSTRAINT an_artifact_is_text_or_bytes CHECK (((bytes IS NULL) OR (content = ''::text))),
    CONSTRAINT artifacts_id_check CHECK (((id <> ''::text) AND (length(id) <= 200)))
);

COMMENT ON COLUMN public.artifacts.size IS 'bytes; of the content in UTF-8, if it is text';

CREATE TABLE public.audit_log (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    action text NOT NULL,
    kind text,
    object text,
    outcome text DEFAULT 'done'::text NOT NULL,
    times integer DEFAULT 1 NOT NULL,
    CONSTRAINT audit_log_action_check CHECK ((action ~ '^[a-z_]{1,63}$'::text)),
    CONSTRAINT audit_log_check CHECK (((kind IS NOT NULL) OR (object IS NULL))),
    CONSTRAINT audit_log_outcome_check CHECK ((outcome ~ '^[a-z_]{1,63}$'::text)),
    CONSTRAINT audit_log_times_check CHECK ((times > 0))
);

COMMENT ON TABLE public.audit_log IS 'what agents do with tasks that they hold stands in task_events instead';

COMMENT ON COLUMN public.audit_log.via IS 'the id of a token; console; settings for the token of the settings; command for the command line on this database';

COMMENT ON COLUMN public.audit_log.object IS 'the id of what it was about; of a person who was forgotten, a digest of the name';

COMMENT ON COLUMN public.audit_log.outcome IS 'done, counted (a trial), or the code of the error';

COMMENT ON COLUMN public.audit_log.times IS 'reads of the same within a minute are one row';

ALTER TABLE public.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.conversation_chunks (
    id bigint NOT NULL,
    session_id text NOT NULL,
    chunk_id text NOT NULL,
    content text NOT NULL,
    format text DEFAULT 'dialogue'::text NOT NULL,
    start_time timestamp with time zone,
    end_time timestamp with time zone,
    participants jsonb DEFAULT '[]'::jsonb NOT NULL,
    extracted_items jsonb DEFAULT '{}'::jsonb NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    first_turn bigint,
    last_turn bigint,
    delivery text,
    created timestamp with time zone DEFAULT now() NOT NULL,
    language text NOT NULL,
    lexemes tsvector GENERATED ALWAYS AS (public.words_of(language, content)) STORED NOT NULL,
    CONSTRAINT conversation_chunks_check CHECK (((first_turn IS NULL) = (last_turn IS NULL))),
    CONSTRAINT conversation_chunks_format_check CHECK ((format = ANY (ARRAY['dialogue'::text, 'summary'::text, 'transcript'::text])))
)
WITH (toast_tuple_target='6000');

COMMENT ON COLUMN public.conversation_chunks.first_turn IS 'turns.id of the first turn in the chunk';

ALTER TABLE public.conversation_chunks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.conversation_chunks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.deliveries (
    id text NOT NULL,
    source text NOT NULL,
    delivery_id text NOT NULL,
    event text NOT NULL,
    received_at timestamp with time zone NOT NULL,
    content_type text NOT NULL,
    body bytea NOT NULL,
    session_id text,
    state text DEFAULT 'received'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    error_code text,
    error text,
    processed_at timestamp with time zone,
    fetched bytea[] DEFAULT '{}'::bytea[] NOT NULL,
    readings integer DEFAULT 0 NOT NULL,
    extent text DEFAULT 'part'::text NOT NULL,
    sealed_with text,
    CONSTRAINT a_finished_delivery_has_its_time CHECK (((state = ANY (ARRAY['processed'::text, 'ignored'::text, 'unknown'::text])) = (processed_at IS NOT NULL))),
    CONSTRAINT a_key_is_named_by_eight_hex_digits CHECK ((sealed_with ~ '^[0-9a-f]{8}$'::text)),
    CONSTRAINT deliveries_check1 CHECK (((state <> 'failed'::text) OR ((error IS NOT NULL) AND (error_code IS NOT NULL)))),
    CONSTRAINT deliveries_extent_check CHECK ((extent = ANY (ARRAY['part'::text, 'live'::text, 'whole'::text]))),
    CONSTRAINT deliveries_id_check CHECK ((id ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT deliveries_readings_check CHECK ((readings >= 0)),
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['received'::text, 'processed'::text, 'ignored'::text, 'unknown'::text, 'failed'::text]))),
    CONSTRAINT what_is_sealed_has_nonce_and_tag CHECK (((sealed_with IS NULL) OR (octet_length(body) >= 28)))
);

COMMENT ON COLUMN public.deliveries.id IS '32 hex digits of sha256(source, newline, delivery_id)';

COMMENT ON COLUMN public.deliveries.body IS 'the request body byte for byte, unless sealed_with says otherwise; convert_from(body, ''UTF8'') reads it';

COMMENT ON COLUMN public.deliveries.state IS 'received, then processed (kept), ignored (known, nothing to keep), unknown (an event we do not know) or failed';

COMMENT ON COLUMN public.deliveries.fetched IS 'what was fetched for a delivery that only announced it, in order';

COMMENT ON COLUMN public.deliveries.readings IS 'how often it was processed; a reading again takes the place of the last';

COMMENT ON COLUMN public.deliveries.extent IS 'part: adds to its session; live, whole: tells the talk together with the others of its source and session';

COMMENT ON COLUMN public.deliveries.sealed_with IS 'the key that body and fetched are sealed with, by its name; null: they are as they came';

CREATE TABLE public.delivery_changes (
    quarter timestamp with time zone NOT NULL
);

CREATE TABLE public.delivery_counts (
    quarter timestamp with time zone NOT NULL,
    source text NOT NULL,
    state text NOT NULL,
    processed timestamp with time zone,
    class integer,
    n bigint NOT NULL,
    last timestamp with time zone NOT NULL,
    CONSTRAINT delivery_counts_n_check CHECK ((n > 0))
);

COMMENT ON TABLE public.delivery_counts IS 'deliveries of a quarter of an hour; read delivery_figures() instead';

COMMENT ON COLUMN public.delivery_counts.processed IS 'the quarter in which they were done';

COMMENT ON COLUMN public.delivery_counts.class IS 'n where they took e^(n/4) to e^((n+1)/4) seconds from arrival to done';

COMMENT ON COLUMN public.delivery_counts.last IS 'when the last of them came';

CREATE TABLE public.delivery_quarters (
    quarter timestamp with time zone NOT NULL
);

CREATE TABLE public.exports (
    task_id text NOT NULL,
    subscription text NOT NULL,
    external_id text,
    url text,
    state text,
    external_updated_at timestamp with time zone,
    created timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT exports_state_check CHECK ((state = ANY (ARRAY['open'::text, 'failed'::text, 'completed'::text, 'not_planned'::text]))),
    CONSTRAINT what_is_there_has_its_address CHECK ((num_nulls(external_id, url, state) = ANY (ARRAY[0, 3])))
);

COMMENT ON TABLE public.exports IS 'tasks that are followed elsewhere; without external_id: still to be made there';

COMMENT ON COLUMN public.exports.external_updated_at IS 'by the clock of that place: what it tells of an earlier time is stale';

CREATE TABLE public.extraction_gaps (
    delivery text NOT NULL,
    extractor text NOT NULL,
    piece text NOT NULL,
    turns jsonb NOT NULL,
    error_code text,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT extraction_gaps_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT extraction_gaps_extractor_check CHECK ((extractor = ANY (ARRAY['rules'::text, 'model'::text, 'llm'::text]))),
    CONSTRAINT extraction_gaps_piece_check CHECK ((piece <> ''::text)),
    CONSTRAINT extraction_gaps_turns_check CHECK ((jsonb_typeof(turns) = 'array'::text))
);

COMMENT ON TABLE public.extraction_gaps IS 'pieces of talks whose extraction failed, or waits for a language model; each is tried again alone';

COMMENT ON COLUMN public.extraction_gaps.piece IS 'a digest of the extractor and of what was said';

COMMENT ON COLUMN public.extraction_gaps.next_attempt_at IS 'infinity: given up';

CREATE TABLE public.failed_logins (
    who bytea NOT NULL,
    failures integer NOT NULL,
    last_failure timestamp with time zone NOT NULL,
    locked_until timestamp with time zone NOT NULL,
    CONSTRAINT failed_logins_who_check CHECK ((octet_length(who) = 32))
);

COMMENT ON TABLE public.failed_logins IS 'tries since the last login that succeeded, by name and by address, for a day; some 10,000 at most';

COMMENT ON COLUMN public.failed_logins.who IS 'sha256 of the name or address: a password may have been typed for a name';

CREATE TABLE public.forgotten (
    key text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    until timestamp with time zone DEFAULT 'infinity'::timestamp with time zone NOT NULL,
    kind text,
    subject text,
    CONSTRAINT forgotten_check CHECK (((kind IS NULL) = (subject IS NULL))),
    CONSTRAINT forgotten_key_check CHECK ((key ~ '^([0-9a-f]{32}|[0-9a-f]{64})$'::text)),
    CONSTRAINT forgotten_kind_check CHECK ((kind = ANY (ARRAY['session'::text, 'person'::text])))
);

COMMENT ON TABLE public.forgotten IS 'deliveries of these sessions that came before `until` are dropped, and so are deliveries of these ids';

COMMENT ON COLUMN public.forgotten.key IS 'deliveries.id, or sha256 of what and which: forgotten_key()';

COMMENT ON COLUMN public.forgotten.subject IS 'until a worker has looked for it in Redis and in what nobody could read; then NULL';

CREATE TABLE public.imported_files (
    session_id text NOT NULL,
    path text NOT NULL,
    file_version text NOT NULL,
    row_version text NOT NULL,
    imported timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON COLUMN public.imported_files.path IS 'within the folder of its session';

COMMENT ON COLUMN public.imported_files.file_version IS 'SHA-256 of what the file said';

COMMENT ON COLUMN public.imported_files.row_version IS 'of the row as it was left; another one says that it was changed here since';

CREATE TABLE public.llm_answers (
    piece text NOT NULL,
    model text NOT NULL,
    items jsonb,
    tokens_in bigint NOT NULL,
    tokens_out bigint NOT NULL,
    cost double precision NOT NULL,
    asked timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    delivery text,
    CONSTRAINT llm_answers_cost_check CHECK ((cost >= (0)::double precision)),
    CONSTRAINT llm_answers_items_check CHECK ((jsonb_typeof(items) = 'array'::text)),
    CONSTRAINT llm_answers_piece_check CHECK ((piece <> ''::text)),
    CONSTRAINT llm_answers_tokens_in_check CHECK ((tokens_in >= 0)),
    CONSTRAINT llm_answers_tokens_out_check CHECK ((tokens_out >= 0))
);

COMMENT ON TABLE public.llm_answers IS 'one row a piece of a talk: what was asked is asked once; the tokens are reserved before and set right after';

COMMENT ON COLUMN public.llm_answers.items IS 'NULL: asked, not answered (yet)';

CREATE TABLE public.login_links (
    hash bytea NOT NULL,
    role text NOT NULL,
    person text,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT login_links_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT login_links_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'reviewer'::text, 'admin'::text])))
);

COMMENT ON COLUMN public.login_links.person IS 'who chooses a new password by it; NULL: somebody who is not known yet';

CREATE TABLE public.logins (
    hash bytea NOT NULL,
    person text NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    CONSTRAINT logins_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT logins_user_agent_check CHECK ((length(user_agent) <= 200))
);

COMMENT ON COLUMN public.logins.hash IS 'sha256 of the cookie, which has 256 random bits and is stored nowhere';

COMMENT ON COLUMN public.logins.last_seen IS 'to the minute';

ALTER TABLE public.memories ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.memories_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.memories_to_look_at (
    memory bigint NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.task_events (
    id bigint NOT NULL,
    task_id text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    from_status text,
    to_status text NOT NULL,
    attempts integer NOT NULL,
    reason text,
    xact bigint DEFAULT ((pg_current_xact_id())::text)::bigint NOT NULL
);

COMMENT ON COLUMN public.task_events.xact IS 'the transaction that wrote it; readers go by (xact, id)';

ALTER TABLE public.task_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.task_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.memory_events (
    id bigint DEFAULT nextval('public.task_events_id_seq'::regclass) NOT NULL,
    memory bigint NOT NULL,
    session_id text NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor text NOT NULL,
    event text NOT NULL,
    xact bigint DEFAULT ((pg_current_xact_id())::text)::bigint NOT NULL,
    CONSTRAINT memory_events_event_check CHECK ((event = ANY (ARRAY['created'::text, 'accepted'::text, 'rejected'::text, 'restored'::text, 'edited'::text, 'merged'::text, 'split'::text, 'superseded'::text, 'reinstated'::text])))
);

COMMENT ON TABLE public.memory_events IS 'who did what to a memory; ids are from the sequence of task_events, so that both make one stream';

CREATE VIEW public.memory_evidence AS
 SELECT COALESCE(m.merged_into, m.id) AS memory,
    m.id AS evidence,
    m.session_id,
    m.turn,
    t.seq AS turn_seq,
    m.title,
    m.quote,
    m.speaker,
    m.said_at
   FROM (public.memories m
     LEFT JOIN public.turns t ON ((t.id = m.turn)));

CREATE TABLE public.outgoing (
    id text DEFAULT ('msg_'::text || replace((gen_random_uuid())::text, '-'::text, ''::text)) NOT NULL,
    number bigint NOT NULL,
    subscription text NOT NULL,
    event_id bigint,
    event text NOT NULL,
    subject text NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    waiting_since timestamp with time zone DEFAULT now() NOT NULL,
    status_code integer,
    error_code text,
    delivered_at timestamp with time zone,
    created timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outgoing_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT outgoing_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'delivered'::text, 'failed'::text, 'skipped'::text]))),
    CONSTRAINT what_failed_says_why CHECK (((state <> ALL (ARRAY['failed'::text, 'skipped'::text])) OR (error_code IS NOT NULL))),
    CONSTRAINT what_is_delivered_has_its_time CHECK (((state = 'delivered'::text) = (delivered_at IS NOT NULL)))
);

COMMENT ON COLUMN public.outgoing.id IS 'the webhook-id, the same over all tries, by which receivers drop repeats';

COMMENT ON COLUMN public.outgoing.event_id IS 'task_events.id or memory_events.id; NULL for an export that somebody asked for';

COMMENT ON COLUMN public.outgoing.next_attempt_at IS 'while somebody is sending it: when another may';

ALTER TABLE public.outgoing ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outgoing_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.people (
    name text NOT NULL,
    password text NOT NULL,
    role text NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    disabled timestamp with time zone,
    CONSTRAINT people_name_check CHECK (((name <> ''::text) AND (length(name) <= 100))),
    CONSTRAINT people_password_check CHECK ((password ~~ '$argon2id$%'::text)),
    CONSTRAINT people_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'reviewer'::text, 'admin'::text])))
);

COMMENT ON COLUMN public.people.password IS 'an argon2id hash';

COMMENT ON COLUMN public.people.disabled IS 'since when this person gets in no more; NULL: may';

CREATE TABLE public.repeatable_requests (
    caller text NOT NULL,
    key text NOT NULL,
    digest bytea NOT NULL,
    answer jsonb,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT repeatable_requests_key_check CHECK (((key <> ''::text) AND (length(key) <= 200)))
);

COMMENT ON TABLE public.repeatable_requests IS 'creations with an Idempotency-Key, each with its answer, for a day';

CREATE TABLE public.schema_migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.search_changes (
    id bigint NOT NULL,
    words text[] NOT NULL,
    counts integer[] NOT NULL,
    CONSTRAINT search_changes_check CHECK ((cardinality(counts) = cardinality(words)))
)
WITH (autovacuum_vacuum_threshold='500', autovacuum_vacuum_scale_factor='0');

COMMENT ON TABLE public.search_changes IS 'what statements changed in search_words and is not added up yet: a word that all say is one row, which writers would wait for';

ALTER TABLE public.search_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.search_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.search_settings (
    only_row boolean DEFAULT true NOT NULL,
    turn_k1 real DEFAULT 0.9 NOT NULL,
    turn_b real DEFAULT 0.4 NOT NULL,
    chunk_k1 real DEFAULT 1.6 NOT NULL,
    chunk_b real DEFAULT 0.6 NOT NULL,
    turn_meaning real DEFAULT 0.2 NOT NULL,
    chunk_meaning real DEFAULT 0.3 NOT NULL,
    CONSTRAINT search_settings_chunk_b_check CHECK (((chunk_b >= (0)::double precision) AND (chunk_b <= (1)::double precision))),
    CONSTRAINT search_settings_chunk_k1_check CHECK ((chunk_k1 >= (0)::double precision)),
    CONSTRAINT search_settings_chunk_meaning_check CHECK ((chunk_meaning >= (0)::double precision)),
    CONSTRAINT search_settings_only_row_check CHECK (only_row),
    CONSTRAINT search_settings_turn_b_check CHECK (((turn_b >= (0)::double precision) AND (turn_b <= (1)::double precision))),
    CONSTRAINT search_settings_turn_k1_check CHECK ((turn_k1 >= (0)::double precision)),
    CONSTRAINT search_settings_turn_meaning_check CHECK ((turn_meaning >= (0)::double precision))
);

COMMENT ON TABLE public.search_settings IS 'BM25: how soon a word that is said again counts no more (k1), and how much long texts are marked down (b)';

COMMENT ON COLUMN public.search_settings.turn_meaning IS 'what nearness in meaning counts beside the words, where turns have vectors';

CREATE TABLE public.search_words (
    word text NOT NULL COLLATE pg_catalog."C",
    chunks bigint NOT NULL
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

COMMENT ON TABLE public.search_words IS 'how many chunks hold each word, but for search_changes; the row of the empty word counts all chunks';

CREATE VIEW public.search_statistics AS
 SELECT word,
    (sum(chunks))::bigint AS chunks
   FROM ( SELECT search_words.word,
            search_words.chunks
           FROM public.search_words
        UNION ALL
         SELECT u.word,
            u.n
           FROM public.search_changes c,
            LATERAL UNNEST(c.words, c.counts) u(word, n)) w
  GROUP BY word
 HAVING (sum(chunks) <> (0)::numeric);

COMMENT ON VIEW public.search_statistics IS 'how many chunks hold each word; of the empty word, how many there are';

CREATE TABLE public.subscriptions (
    name text NOT NULL,
    kind text NOT NULL,
    target text NOT NULL,
    events text[] NOT NULL,
    agent_name text,
    memory_types text[],
    details boolean DEFAULT false NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    disabled_why text,
    "position" text NOT NULL,
    resting_until timestamp with time zone,
    created timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT subscriptions_kind_check CHECK ((kind = ANY (ARRAY['webhook'::text, 'github'::text, 'slack'::text, 'linear'::text]))),
    CONSTRAINT subscriptions_name_check CHECK ((name ~ '^[a-z][a-z0-9_-]{0,63}$'::text)),
    CONSTRAINT subscriptions_position_check CHECK (("position" ~ '^\d{1,18}-\d{1,18}$'::text)),
    CONSTRAINT what_is_enabled_is_not_disabled CHECK (((NOT enabled) OR (disabled_why IS NULL)))
);

COMMENT ON COLUMN public.subscriptions.target IS 'a URL, owner/repo of GitHub, a channel of Slack or the id of a team of Linear';

COMMENT ON COLUMN public.subscriptions.agent_name IS 'only events of tasks of this agent; NULL: of all';

COMMENT ON COLUMN public.subscriptions.memory_types IS 'only events of memories of these types; NULL: of all';

COMMENT ON COLUMN public.subscriptions.details IS 'whether what people said goes out with an event, beyond its title';

COMMENT ON COLUMN public.subscriptions."position" IS 'how far the stream of events was read for it';

COMMENT ON COLUMN public.subscriptions.resting_until IS 'nothing is sent there before, since it did not answer or asked for a pause';

CREATE VIEW public.task_queue AS
 SELECT t.id,
    t.title,
    t.agent_name,
    t.task_type,
    t.status,
    t.priority,
    t.session_id,
    s.title AS session_title,
    t.claimed_by,
    t.lease_until,
    t.attempts,
    t.max_attempts,
    t.not_before,
    t.depends_on,
    t.question,
    t.input_data,
    t.created,
    t.updated,
    t.capabilities,
    t.progress,
    t.progress_note,
        CASE
            WHEN (t.status = ANY (ARRAY['claimed'::text, 'running'::text])) THEN (clock_timestamp() - COALESCE(t.progressed_at, t.claimed_at))
            ELSE NULL::interval
        END AS without_progress_for,
        CASE
            WHEN (t.waiting_for > 0) THEN ARRAY( SELECT d.id
               FROM public.tasks d
              WHERE ((d.id = ANY (t.depends_on)) AND (d.status <> 'completed'::text)))
            ELSE NULL::text[]
        END AS blocked_by,
    ((t.waiting_for > 0) AND (EXISTS ( SELECT
           FROM public.tasks d
          WHERE ((d.id = ANY (t.depends_on)) AND (d.status = ANY (ARRAY['failed'::text, 'cancelled'::text])))))) AS blocked_for_good,
    t.doubt
   FROM (public.tasks t
     LEFT JOIN public.sessions s ON ((s.id = t.session_id)))
  WHERE (t.status <> ALL (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text]))
  ORDER BY t.priority DESC, t.created, t.id;

CREATE TABLE public.task_words (
    task_id text NOT NULL,
    words tsvector NOT NULL
);

CREATE TABLE public.tokens (
    id text DEFAULT ('token_'::text || "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 12)) NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used timestamp with time zone,
    CONSTRAINT tokens_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT tokens_name_check CHECK (((name <> ''::text) AND (length(name) <= 100))),
    CONSTRAINT tokens_scopes_check CHECK (public.are_scopes(scopes))
);

COMMENT ON COLUMN public.tokens.hash IS 'sha256 of the token, which has 256 random bits and is stored nowhere';

COMMENT ON COLUMN public.tokens.scopes IS 'read, write, review, admin, claim (as any agent), claim:AGENT';

COMMENT ON COLUMN public.tokens.last_used IS 'to the minute';

ALTER TABLE public.turns ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.turns_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.word_forms (
    word text NOT NULL COLLATE pg_catalog."C",
    form text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE public.word_forms IS 'English lexemes that are forms of one word: buy, bought';

ALTER TABLE public.tasks
    ADD CONSTRAINT a_task_is_whole CHECK (public.task_is_whole(tasks.*));

ALTER TABLE ONLY public.agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_session_id_chunk_id_key UNIQUE (session_id, chunk_id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_source_delivery_id_key UNIQUE (source, delivery_id);

ALTER TABLE ONLY public.delivery_quarters
    ADD CONSTRAINT delivery_quarters_pkey PRIMARY KEY (quarter);

ALTER TABLE ONLY public.exports
    ADD CONSTRAINT exports_pkey PRIMARY KEY (task_id, subscription);

ALTER TABLE ONLY public.exports
    ADD CONSTRAINT exports_subscription_external_id_key UNIQUE (subscription, external_id);

ALTER TABLE ONLY public.extraction_gaps
    ADD CONSTRAINT extraction_gaps_pkey PRIMARY KEY (delivery, extractor, piece);

ALTER TABLE ONLY public.failed_logins
    ADD CONSTRAINT failed_logins_pkey PRIMARY KEY (who);

ALTER TABLE ONLY public.forgotten
    ADD CONSTRAINT forgotten_pkey PRIMARY KEY (key);

ALTER TABLE ONLY public.imported_files
    ADD CONSTRAINT imported_files_pkey PRIMARY KEY (session_id, path);

ALTER TABLE ONLY public.llm_answers
    ADD CONSTRAINT llm_answers_pkey PRIMARY KEY (piece);

ALTER TABLE ONLY public.login_links
    ADD CONSTRAINT login_links_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_session_id_key_key UNIQUE (session_id, key);

ALTER TABLE ONLY public.memories_to_look_at
    ADD CONSTRAINT memories_to_look_at_pkey PRIMARY KEY (memory);

ALTER TABLE ONLY public.memory_events
    ADD CONSTRAINT memory_events_pkey PRIMARY KEY (xact, id);

ALTER TABLE ONLY public.outgoing
    ADD CONSTRAINT outgoing_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outgoing
    ADD CONSTRAINT outgoing_subscription_event_id_key UNIQUE (subscription, event_id);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.repeatable_requests
    ADD CONSTRAINT repeatable_requests_pkey PRIMARY KEY (caller, key);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.search_changes
    ADD CONSTRAINT search_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.search_settings
    ADD CONSTRAINT search_settings_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY public.search_words
    ADD CONSTRAINT search_words_pkey PRIMARY KEY (word);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.task_events
    ADD CONSTRAINT task_events_pkey PRIMARY KEY (xact, id);

ALTER TABLE ONLY public.task_words
    ADD CONSTRAINT task_words_pkey PRIMARY KEY (task_id);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_session_id_seq_key UNIQUE (session_id, seq) DEFERRABLE;

ALTER TABLE ONLY public.word_forms
    ADD CONSTRAINT word_forms_pkey PRIMARY KEY (word, form);

CREATE INDEX artifacts_by_delivery ON public.artifacts USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX artifacts_by_session ON public.artifacts USING btree (session_id, created DESC);

CREATE INDEX artifacts_by_task ON public.artifacts USING btree (task_id) WHERE (task_id IS NOT NULL);

CREATE INDEX artifacts_lexemes ON public.artifacts USING gin (lexemes);

CREATE INDEX audit_log_by_actor ON public.audit_log USING btree (actor, id DESC);

CREATE INDEX audit_log_by_object ON public.audit_log USING btree (object, id DESC) WHERE (object IS NOT NULL);

CREATE INDEX audit_log_by_time ON public.audit_log USING btree (at);

CREATE INDEX conversation_chunks_by_delivery ON public.conversation_chunks USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX conversation_chunks_first_turn ON public.conversation_chunks USING btree (first_turn);

CREATE INDEX conversation_chunks_last_turn ON public.conversation_chunks USING btree (last_turn);

CREATE INDEX conversation_chunks_lexemes ON public.conversation_chunks USING gin (lexemes);

CREATE INDEX conversation_chunks_words ON public.conversation_chunks USING gin (to_tsvector('english'::regconfig, content));

CREATE INDEX deliveries_by_arrival ON public.deliveries USING btree (received_at DESC, id DESC) INCLUDE (source, state, error_code, processed_at);

CREATE INDEX deliveries_by_error ON public.deliveries USING btree (error_code, received_at DESC, id DESC) WHERE (error_code IS NOT NULL);

CREATE INDEX deliveries_by_session ON public.deliveries USING btree (session_id) WHERE (session_id IS NOT NULL);

CREATE INDEX deliveries_by_source ON public.deliveries USING btree (source, received_at DESC, id DESC) INCLUDE (state);

CREATE INDEX deliveries_not_done ON public.deliveries USING btree (state, received_at DESC, id DESC) INCLUDE (source) WHERE (state <> 'processed'::text);

CREATE INDEX deliveries_telling ON public.deliveries USING btree (session_id, source) WHERE (extent <> 'part'::text);

CREATE INDEX deliveries_unfinished ON public.deliveries USING btree (next_attempt_at) WHERE (state = 'received'::text);

CREATE INDEX delivery_changes_by_quarter ON public.delivery_changes USING btree (quarter);

CREATE INDEX delivery_counts_by_quarter ON public.delivery_counts USING btree (quarter);

CREATE INDEX exports_by_external ON public.exports USING btree (external_id) WHERE (external_id IS NOT NULL);

CREATE INDEX exports_by_subscription ON public.exports USING btree (subscription);

CREATE INDEX extraction_gaps_due ON public.extraction_gaps USING btree (next_attempt_at) WHERE (next_attempt_at < 'infinity'::timestamp with time zone);

CREATE INDEX failed_logins_by_time ON public.failed_logins USING btree (last_failure);

CREATE INDEX forgotten_for_a_while ON public.forgotten USING btree (until) WHERE (until < 'infinity'::timestamp with time zone);

CREATE INDEX forgotten_to_look_for ON public.forgotten USING btree (at) WHERE (subject IS NOT NULL);

CREATE INDEX llm_answers_by_delivery ON public.llm_answers USING btree (delivery);

CREATE INDEX llm_answers_by_time ON public.llm_answers USING btree (asked);

CREATE INDEX login_links_by_person ON public.login_links USING btree (person) WHERE (person IS NOT NULL);

CREATE INDEX logins_by_end ON public.logins USING btree (expires_at);

CREATE INDEX logins_by_person ON public.logins USING btree (person);

CREATE INDEX memories_by_delivery ON public.memories USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX memories_by_tags ON public.memories USING gin (tags);

CREATE INDEX memories_by_turn ON public.memories USING btree (turn) WHERE (turn IS NOT NULL);

CREATE INDEX memories_by_type ON public.memories USING btree (type, created DESC, id);

CREATE INDEX memories_by_words ON public.memories USING gin (words) WITH (fastupdate=off) WHERE (merged_into IS NULL);

CREATE INDEX memories_decided ON public.memories USING btree (said_at DESC, id DESC) WHERE ((type = 'decision'::text) AND (merged_into IS NULL));

CREATE INDEX memories_decided_again ON public.memories USING btree (merged_into, said_at) WHERE ((type = 'decision'::text) AND (merged_into IS NOT NULL));

CREATE INDEX memories_lexemes ON public.memories USING gin (lexemes);

CREATE INDEX memories_merged ON public.memories USING btree (merged_into) WHERE (merged_into IS NOT NULL);

CREATE INDEX memories_superseded_by ON public.memories USING btree (superseded_by) WHERE (superseded_by IS NOT NULL);

CREATE INDEX memories_to_review ON public.memories USING btree (id DESC) WHERE ((review = 'proposed'::text) AND (merged_into IS NULL) AND (superseded_by IS NULL));

CREATE INDEX memories_to_review_by_certainty ON public.memories USING btree (type, confidence, id) WHERE ((review = 'proposed'::text) AND (merged_into IS NULL) AND (superseded_by IS NULL));

CREATE INDEX memories_to_review_by_type ON public.memories USING btree (type, id DESC) WHERE ((review = 'proposed'::text) AND (merged_into IS NULL) AND (superseded_by IS NULL));

CREATE INDEX memories_words ON public.memories USING gin (to_tsvector('english'::regconfig, (content)::text));

CREATE INDEX memory_events_by_memory ON public.memory_events USING btree (memory, id);

CREATE INDEX outgoing_by_subscription ON public.outgoing USING btree (subscription, number DESC);

CREATE INDEX outgoing_done ON public.outgoing USING btree (created) WHERE (state = ANY (ARRAY['delivered'::text, 'skipped'::text]));

CREATE INDEX outgoing_due ON public.outgoing USING btree (subscription, next_attempt_at, number) WHERE (state = 'waiting'::text);

CREATE INDEX outgoing_failed ON public.outgoing USING btree (subscription) WHERE (state = 'failed'::text);

CREATE INDEX outgoing_waiting ON public.outgoing USING btree (subscription, subject, number) WHERE (state = 'waiting'::text);

CREATE UNIQUE INDEX people_by_name ON public.people USING btree (lower(name));

CREATE INDEX repeatable_requests_by_age ON public.repeatable_requests USING btree (created);

CREATE INDEX search_words_alike ON public.search_words USING gin (word public.gin_trgm_ops);

CREATE INDEX sessions_by_activity ON public.sessions USING btree (last_activity DESC, id);

CREATE INDEX sessions_by_language ON public.sessions USING btree (language);

CREATE INDEX sessions_live ON public.sessions USING btree (last_activity) WHERE (live AND (status = 'active'::text));

CREATE INDEX task_events_by_task ON public.task_events USING btree (task_id, id);

CREATE INDEX task_words_words ON public.task_words USING gin (words);

CREATE INDEX tasks_by_creation ON public.tasks USING btree (created DESC, id DESC);

CREATE INDEX tasks_by_decision ON public.tasks USING btree (decision) WHERE (decision IS NOT NULL);

CREATE INDEX tasks_by_delivery ON public.tasks USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX tasks_by_memory ON public.tasks USING btree (memory) WHERE (memory IS NOT NULL);

CREATE INDEX tasks_by_session ON public.tasks USING btree (session_id);

CREATE INDEX tasks_cancelled ON public.tasks USING btree (completed DESC, id DESC) WHERE (status = 'cancelled'::text);

CREATE INDEX tasks_claimable ON public.tasks USING btree (agent_name, priority DESC, created) WHERE ((status = 'pending'::text) AND (waiting_for = 0) AND (not_before IS NULL));

CREATE INDEX tasks_completed ON public.tasks USING btree (completed DESC, id DESC) WHERE (status = 'completed'::text);

CREATE INDEX tasks_dependents ON public.tasks USING gin (depends_on) WHERE (waiting_for > 0);

CREATE INDEX tasks_doubted ON public.tasks USING btree (created DESC, id DESC) WHERE ((doubt IS NOT NULL) AND (status <> ALL (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])));

CREATE INDEX tasks_ended_by_agent ON public.tasks USING btree (agent_name, completed DESC) INCLUDE (status) WHERE (completed IS NOT NULL);

CREATE INDEX tasks_failed ON public.tasks USING btree (completed DESC, id DESC) WHERE (status = 'failed'::text);

CREATE INDEX tasks_for_people ON public.tasks USING btree (created DESC, id DESC) WHERE (status = ANY (ARRAY['proposed'::text, 'needs_input'::text]));

CREATE INDEX tasks_leases ON public.tasks USING btree (lease_until) WHERE (status = ANY (ARRAY['claimed'::text, 'running'::text]));

CREATE INDEX tasks_needing_input ON public.tasks USING btree (created DESC, id DESC) WHERE (status = 'needs_input'::text);

CREATE INDEX tasks_pending ON public.tasks USING btree (created DESC, id DESC) WHERE (status = 'pending'::text);

CREATE INDEX tasks_proposed ON public.tasks USING btree (created DESC, id DESC) WHERE (status = 'proposed'::text);

CREATE INDEX tasks_scheduled ON public.tasks USING btree (not_before) WHERE ((status = 'pending'::text) AND (not_before IS NOT NULL));

CREATE UNIQUE INDEX tasks_slots ON public.tasks USING btree (agent_name, slot) WHERE (slot IS NOT NULL);

CREATE UNIQUE INDEX tokens_by_name ON public.tokens USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX turns_by_delivery ON public.turns USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX turns_lexemes ON public.turns USING gin (lexemes);

CREATE TRIGGER "Hand_over" AFTER DELETE ON public.memories FOR EACH ROW WHEN ((old.merged_into IS NULL)) EXECUTE FUNCTION public.hand_over_memory();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON public.audit_log FOR EACH ROW EXECUTE FUNCTION public.keep_audit_log();

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON public.task_events FOR EACH ROW EXECUTE FUNCTION public.keep_task_events();

CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION public.keep_audit_log();

CREATE TRIGGER check_command BEFORE UPDATE ON public.tasks FOR EACH ROW WHEN ((old.command IS DISTINCT FROM new.command)) EXECUTE FUNCTION public.check_command();

CREATE TRIGGER check_new_command BEFORE INSERT ON public.tasks FOR EACH ROW WHEN ((new.command IS NOT NULL)) EXECUTE FUNCTION public.check_command();

CREATE TRIGGER count_again_added AFTER INSERT ON public.deliveries FOR EACH ROW WHEN ((new.received_at < (now() - '00:10:00'::interval))) EXECUTE FUNCTION public.say_delivery_changed();

CREATE TRIGGER count_again_changed AFTER UPDATE OF state, processed_at ON public.deliveries FOR EACH ROW WHEN ((old.received_at < (now() - '00:10:00'::interval))) EXECUTE FUNCTION public.say_delivery_changed();

CREATE TRIGGER count_again_removed AFTER DELETE ON public.deliveries FOR EACH ROW WHEN ((old.received_at < (now() - '00:10:00'::interval))) EXECUTE FUNCTION public.say_delivery_changed();

CREATE TRIGGER count_deleted AFTER DELETE ON public.artifacts REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('artifact_count');

CREATE TRIGGER count_deleted AFTER DELETE ON public.conversation_chunks REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('conversation_chunk_count');

CREATE TRIGGER count_deleted AFTER DELETE ON public.memories REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('memory_count');

CREATE TRIGGER count_deleted AFTER DELETE ON public.tasks REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('task_count');

CREATE TRIGGER count_dependencies BEFORE INSERT ON public.tasks FOR EACH ROW WHEN ((new.depends_on <> '{}'::text[])) EXECUTE FUNCTION public.count_dependencies();

CREATE TRIGGER count_inserted AFTER INSERT ON public.artifacts REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('artifact_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.conversation_chunks REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('conversation_chunk_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.memories REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('memory_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.tasks REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('task_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.artifacts FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('artifact_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.conversation_chunks FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('conversation_chunk_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.memories FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('memory_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.tasks FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('task_count');

CREATE TRIGGER count_words_deleted AFTER DELETE ON public.conversation_chunks REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_words();

CREATE TRIGGER count_words_inserted AFTER INSERT ON public.conversation_chunks REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_words();

CREATE TRIGGER count_words_truncated AFTER TRUNCATE ON public.conversation_chunks FOR EACH STATEMENT EXECUTE FUNCTION public.count_words();

CREATE TRIGGER count_words_updated AFTER UPDATE ON public.conversation_chunks REFERENCING OLD TABLE AS old_rows NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_words();

CREATE TRIGGER doubt_tasks AFTER UPDATE ON public.memories FOR EACH ROW WHEN ((old.superseded_by IS DISTINCT FROM new.superseded_by)) EXECUTE FUNCTION public.doubt_tasks();

CREATE TRIGGER follow_language AFTER UPDATE OF language ON public.sessions FOR EACH ROW WHEN ((old.language <> new.language)) EXECUTE FUNCTION public.follow_language();

CREATE TRIGGER follow_review AFTER UPDATE ON public.memories FOR EACH ROW WHEN (((old.review <> new.review) AND (new.merged_into IS NULL))) EXECUTE FUNCTION public.follow_memory_review();

CREATE TRIGGER follow_type AFTER UPDATE OF type ON public.memories FOR EACH ROW WHEN ((old.type <> new.type)) EXECUTE FUNCTION public.follow_memory_type();

CREATE TRIGGER forget_events AFTER DELETE ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.forget_task_events();

CREATE TRIGGER forget_vector AFTER UPDATE OF content ON public.conversation_chunks FOR EACH ROW WHEN ((old.lexemes <> new.lexemes)) EXECUTE FUNCTION public.forget_vector('chunk_vectors');

CREATE TRIGGER forget_vector AFTER UPDATE OF text, caption ON public.turns FOR EACH ROW WHEN ((old.lexemes <> new.lexemes)) EXECUTE FUNCTION public.forget_vector('turn_vectors');

CREATE TRIGGER keep_id BEFORE UPDATE OF id ON public.tasks FOR EACH ROW WHEN ((new.id <> old.id)) EXECUTE FUNCTION public.keep_task_id();

CREATE TRIGGER keep_merged BEFORE INSERT OR UPDATE OF merged_into, type ON public.memories FOR EACH ROW WHEN ((new.merged_into IS NOT NULL)) EXECUTE FUNCTION public.keep_merged_memory();

CREATE TRIGGER keep_superseded BEFORE INSERT OR UPDATE OF superseded_by, superseded_at ON public.memories FOR EACH ROW WHEN (((new.superseded_by IS NOT NULL) OR (new.superseded_at IS NOT NULL))) EXECUTE FUNCTION public.keep_superseded_memory();

CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE OF status ON public.sessions FOR EACH ROW EXECUTE FUNCTION public.keep_session_times();

CREATE TRIGGER keep_times_inserted BEFORE INSERT ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.keep_task_times();

CREATE TRIGGER keep_times_updated BEFORE UPDATE ON public.tasks FOR EACH ROW WHEN ((NOT (new.last_token IS DISTINCT FROM old.last_token))) EXECUTE FUNCTION public.keep_task_times();

CREATE TRIGGER keep_words AFTER INSERT OR UPDATE OF title, input_data ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.keep_task_words();

CREATE TRIGGER mark_edited BEFORE UPDATE OF type, title, content, tags ON public.memories FOR EACH ROW WHEN (((new.updated = old.updated) AND (new.review = old.review) AND ((((new.type IS DISTINCT FROM old.type) OR (new.title IS DISTINCT FROM old.title)) OR (new.content IS DISTINCT FROM old.content)) OR (new.tags IS DISTINCT FROM old.tags)))) EXECUTE FUNCTION public.mark_edited_memory();

CREATE TRIGGER note_review BEFORE UPDATE ON public.memories FOR EACH ROW WHEN ((old.review <> new.review)) EXECUTE FUNCTION public.note_memory_review();

CREATE TRIGGER place_held AFTER UPDATE OF max_concurrent ON public.agents FOR EACH ROW WHEN (((old.max_concurrent IS NULL) AND (new.max_concurrent IS NOT NULL))) EXECUTE FUNCTION public.place_held_tasks();

CREATE TRIGGER record_event AFTER INSERT OR UPDATE ON public.memories FOR EACH ROW EXECUTE FUNCTION public.record_memory_event();

CREATE TRIGGER record_insert AFTER INSERT ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.record_task_move();

CREATE TRIGGER record_move AFTER UPDATE ON public.tasks FOR EACH ROW WHEN (((old.status IS DISTINCT FROM new.status) AND (NOT (new.last_token IS DISTINCT FROM old.last_token)))) EXECUTE FUNCTION public.record_task_move();

CREATE TRIGGER recount_dependencies BEFORE UPDATE OF depends_on ON public.tasks FOR EACH ROW WHEN ((new.depends_on IS DISTINCT FROM old.depends_on)) EXECUTE FUNCTION public.count_dependencies();

CREATE TRIGGER retitle_tasks AFTER UPDATE ON public.memories FOR EACH ROW WHEN (((old.title <> new.title) AND (new.review = 'edited'::text))) EXECUTE FUNCTION public.retitle_tasks();

CREATE TRIGGER take_language BEFORE INSERT ON public.artifacts FOR EACH ROW WHEN ((new.language IS NULL)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language BEFORE INSERT ON public.conversation_chunks FOR EACH ROW WHEN ((new.language IS NULL)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language BEFORE INSERT ON public.memories FOR EACH ROW WHEN ((new.language IS NULL)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language BEFORE INSERT ON public.turns FOR EACH ROW WHEN ((new.language IS NULL)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON public.artifacts FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON public.conversation_chunks FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON public.memories FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON public.turns FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.take_language();

CREATE TRIGGER wake_freed AFTER UPDATE OF waiting_for ON public.tasks FOR EACH ROW WHEN (((old.waiting_for > 0) AND (new.waiting_for = 0) AND (new.status = 'pending'::text))) EXECUTE FUNCTION public.wake_freed_task();

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_first_turn_fkey FOREIGN KEY (first_turn) REFERENCES public.turns(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_last_turn_fkey FOREIGN KEY (last_turn) REFERENCES public.turns(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.delivery_counts
    ADD CONSTRAINT delivery_counts_quarter_fkey FOREIGN KEY (quarter) REFERENCES public.delivery_quarters(quarter) ON DELETE CASCADE;

ALTER TABLE ONLY public.exports
    ADD CONSTRAINT exports_subscription_fkey FOREIGN KEY (subscription) REFERENCES public.subscriptions(name) ON DELETE CASCADE;

ALTER TABLE ONLY public.exports
    ADD CONSTRAINT exports_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.extraction_gaps
    ADD CONSTRAINT extraction_gaps_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.imported_files
    ADD CONSTRAINT imported_files_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.login_links
    ADD CONSTRAINT login_links_person_fkey FOREIGN KEY (person) REFERENCES public.people(name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_person_fkey FOREIGN KEY (person) REFERENCES public.people(name) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_merged_into_fkey FOREIGN KEY (merged_into) REFERENCES public.memories(id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_superseded_by_fkey FOREIGN KEY (superseded_by) REFERENCES public.memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.memories_to_look_at
    ADD CONSTRAINT memories_to_look_at_memory_fkey FOREIGN KEY (memory) REFERENCES public.memories(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_turn_fkey FOREIGN KEY (turn) REFERENCES public.turns(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.memory_events
    ADD CONSTRAINT memory_events_memory_fkey FOREIGN KEY (memory) REFERENCES public.memories(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.outgoing
    ADD CONSTRAINT outgoing_subscription_fkey FOREIGN KEY (subscription) REFERENCES public.subscriptions(name) ON DELETE CASCADE;

ALTER TABLE ONLY public.task_words
    ADD CONSTRAINT task_words_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_agent_name_fkey FOREIGN KEY (agent_name) REFERENCES public.agents(name) ON UPDATE CASCADE;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_decision_fkey FOREIGN KEY (decision) REFERENCES public.memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_memory_fkey FOREIGN KEY (memory) REFERENCES public.memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;
