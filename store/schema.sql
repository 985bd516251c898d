-- The schema that migrations/ give. Written by scripts/schema; never edited, never run.

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE TABLE public.tasks (
    id text DEFAULT ('task_'::text || "left"(replace((gen_random_uuid())::text, '-'::text, ''::text), 12)) NOT NULL,
    session_id text,
    agent_name text NOT NULL,
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
    completed_token uuid,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer DEFAULT 3 NOT NULL,
    not_before timestamp with time zone,
    depends_on text[] DEFAULT '{}'::text[] NOT NULL,
    question text,
    progress real,
    progress_note text,
    memory bigint,
    delivery text,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_held_task_has_a_holder CHECK (((status <> ALL (ARRAY['claimed'::text, 'running'::text])) OR (num_nulls(claimed_by, claimed_at) = 0))),
    CONSTRAINT a_held_task_has_a_lease CHECK (((status = ANY (ARRAY['claimed'::text, 'running'::text])) = (lease_until IS NOT NULL))),
    CONSTRAINT a_held_task_has_a_token CHECK (((status = ANY (ARRAY['claimed'::text, 'running'::text])) = (claim_token IS NOT NULL))),
    CONSTRAINT a_running_task_has_started CHECK (((status <> 'running'::text) OR (started IS NOT NULL))),
    CONSTRAINT an_asking_task_has_its_question CHECK (((status = 'needs_input'::text) = (question IS NOT NULL))),
    CONSTRAINT an_ended_task_has_its_time CHECK (((status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (completed IS NOT NULL))),
    CONSTRAINT tasks_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT tasks_check CHECK ((id <> ALL (depends_on))),
    CONSTRAINT tasks_id_check CHECK (((id <> ''::text) AND (length(id) <= 200))),
    CONSTRAINT tasks_max_attempts_check CHECK ((max_attempts >= 1)),
    CONSTRAINT tasks_progress_check CHECK (((progress >= (0)::double precision) AND (progress <= (1)::double precision))),
    CONSTRAINT tasks_status_check CHECK ((status = ANY (ARRAY['proposed'::text, 'pending'::text, 'claimed'::text, 'running'::text, 'needs_input'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);

COMMENT ON COLUMN public.tasks.priority IS 'higher is claimed first; 50 is ordinary';

COMMENT ON COLUMN public.tasks.completed IS 'when the task ended: completed, failed or cancelled';

COMMENT ON COLUMN public.tasks.attempts IS 'tries that ended without success';

CREATE FUNCTION public.answer_task(task_id text, answer text, person text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- The answer joins input_data.answers, in the order in which questions were asked.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'pending', input_data = jsonb_set(t.input_data, '{answers}',
           COALESCE(t.input_data -> 'answers', '[]') || jsonb_build_object(
               'question', t.question, 'answer', answer, 'person', person, 'answered_at', now()))
     WHERE t.id = task_id AND t.status = 'needs_input'
    RETURNING t.* INTO task;
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
BEGIN
    UPDATE tasks t SET status = 'pending', input_data = t.input_data || jsonb_build_object('approved_by', person)
     WHERE t.id = task_id AND t.status = 'proposed'
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'approved');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.ask_task(task_id text, claim_token uuid, question text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- Parks the task until a person answers; the lease stops, no try is spent.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    IF ask_task.question IS NULL OR btrim(ask_task.question) = '' THEN
        RAISE EXCEPTION 'The question is empty.' USING ERRCODE = 'AW006';
    END IF;
    UPDATE tasks t SET status = 'needs_input', question = ask_task.question
     WHERE t.id = task_id AND t.claim_token = ask_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, ask_task.claim_token, 'parked with a question');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.cancel_task(task_id text, reason text DEFAULT NULL::text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'cancelled', error_message = reason
     WHERE t.id = task_id AND t.status NOT IN ('completed', 'failed', 'cancelled')
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'cancelled');
    END IF;
    RETURN task;
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

CREATE FUNCTION public.claim_task(agent_name text, control_agent text, lease_seconds integer DEFAULT 300, max_tasks integer DEFAULT 1) RETURNS TABLE(task_id text, session_id text, task_type text, title text, priority integer, input_data jsonb, claim_token uuid, lease_until timestamp with time zone, attempt integer, session_title text, quote text)
    LANGUAGE plpgsql
    AS $$
-- Gives the most urgent tasks to one agent, at most max_tasks and never past agents.max_concurrent.
-- No row when there is nothing to do; it never waits for another task's row.
#variable_conflict use_column
DECLARE
    lease interval := check_lease(lease_seconds);
    free  integer;
BEGIN
    IF max_tasks IS NULL OR max_tasks NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_tasks is 1 to 1000, not %.', max_tasks USING ERRCODE = 'AW006';
    ELSIF control_agent IS NULL OR control_agent = '' THEN
        RAISE EXCEPTION 'control_agent names who claims; it is empty.' USING ERRCODE = 'AW006';
    END IF;
    PERFORM expire_claims();
    -- The agent's row is locked, so that two claims of one agent cannot both take its last free place.
    SELECT a.max_concurrent INTO free FROM agents a WHERE a.name = claim_task.agent_name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no agent %.', claim_task.agent_name USING ERRCODE = 'AW004';
    END IF;
    free := free - (SELECT count(*) FROM tasks t
                     WHERE t.agent_name = claim_task.agent_name AND t.status IN ('claimed', 'running'));
    IF free < 1 THEN
        RAISE EXCEPTION 'Agent % already holds as many tasks as it may.', claim_task.agent_name
            USING ERRCODE = 'AW003';
    END IF;
    RETURN QUERY
    WITH next AS (
        SELECT t.id FROM tasks t
         WHERE t.agent_name = claim_task.agent_name AND t.status = 'pending'
           AND (t.not_before IS NULL OR t.not_before <= clock_timestamp())
           AND NOT EXISTS (SELECT FROM unnest(t.depends_on) AS d (id) LEFT JOIN tasks p ON p.id = d.id
                            WHERE p.status IS DISTINCT FROM 'completed')
         ORDER BY t.priority DESC, t.created, t.id
         LIMIT LEAST(max_tasks, free) FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE tasks t SET status = 'claimed', claimed_by = control_agent, claimed_at = clock_timestamp(),
               claim_token = gen_random_uuid(), lease_until = clock_timestamp() + lease,
               progress = NULL, progress_note = NULL
          FROM next WHERE t.id = next.id RETURNING t.*
    )
    SELECT t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
           t.attempts + 1, s.title, m.quote
      FROM taken t LEFT JOIN sessions s ON s.id = t.session_id LEFT JOIN memories m ON m.id = t.memory
     ORDER BY t.priority DESC, t.created, t.id;
END $$;

CREATE FUNCTION public.complete_task(task_id text, claim_token uuid, output_data jsonb DEFAULT NULL::jsonb, artifacts text[] DEFAULT '{}'::text[]) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
-- A repeat with the token that completed the task answers the task again and changes nothing, so that an
-- agent whose answer was lost on the way can ask once more.
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'completed', output_data = complete_task.output_data,
           artifacts = COALESCE(complete_task.artifacts, '{}'), error_message = NULL,
           completed_token = complete_task.claim_token, started = COALESCE(t.started, t.claimed_at)
     WHERE t.id = task_id AND t.claim_token = complete_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        SELECT * INTO task FROM tasks t WHERE t.id = task_id AND t.completed_token = complete_task.claim_token;
    END IF;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, complete_task.claim_token, 'completed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.convert_to_utf8(content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT convert_to(content, 'UTF8') $$;

CREATE FUNCTION public.count_session_rows() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
-- TG_ARGV[0] is the counter of sessions that the table feeds. Sessions are taken in the order of their ids,
-- so that two writers of the same sessions cannot deadlock here.
BEGIN
    EXECUTE format($sql$
        WITH changed AS (
            SELECT session_id, count(*) * %s AS n FROM changed_rows
             WHERE session_id IS NOT NULL GROUP BY session_id
        ), locked AS (
            SELECT s.id FROM sessions s JOIN changed c ON c.session_id = s.id ORDER BY s.id FOR NO KEY UPDATE OF s
        )
        UPDATE sessions s SET %I = %I + c.n, last_activity = GREATEST(s.last_activity, clock_timestamp())
          FROM changed c JOIN locked l ON l.id = c.session_id WHERE s.id = l.id
        $sql$, CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END, TG_ARGV[0], TG_ARGV[0]);
    RETURN NULL;
END $_$;

CREATE FUNCTION public.expire_claims() RETURNS integer
    LANGUAGE sql
    AS $$
-- Returns tasks past their lease to `pending`, or ends them when they have no try left. Answers how many.
-- A row that somebody is moving right now is left to them.
    WITH lapsed AS (
        SELECT id FROM tasks WHERE status IN ('claimed', 'running') AND lease_until <= clock_timestamp()
         ORDER BY lease_until FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE tasks t SET attempts = attempts + 1,
               status = CASE WHEN attempts + 1 >= max_attempts THEN 'failed' ELSE 'pending' END,
               error_message = 'The lease of ' || claimed_by || ' lapsed at '
                               || to_char(lease_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC.'
          FROM lapsed WHERE t.id = lapsed.id RETURNING 1
    )
    SELECT count(*)::integer FROM moved
$$;

CREATE FUNCTION public.fail_task(task_id text, claim_token uuid, error text, retry boolean DEFAULT true) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET attempts = attempts + 1, error_message = error,
           status = CASE WHEN retry AND attempts + 1 < max_attempts THEN 'pending' ELSE 'failed' END,
           not_before = clock_timestamp() + retry_delay(attempts + 1)
     WHERE t.id = task_id AND t.claim_token = fail_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, fail_task.claim_token, 'failed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.keep_session_times() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- `UPDATE sessions SET status = 'completed'` as a person types it stays within the constraints.
BEGIN
    NEW.completed_at := CASE WHEN NEW.status = 'completed' THEN COALESCE(NEW.completed_at, now()) END;
    RETURN NEW;
END $$;

CREATE FUNCTION public.keep_task_times() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
-- A move sets the status; what the constraints tie to the status follows here, also for plain SQL.
-- A claim cannot be made this way: only claim_task() gives a token and a lease.
BEGIN
    NEW.updated := clock_timestamp();
    IF NEW.status NOT IN ('claimed', 'running') THEN
        NEW.claim_token := NULL;
        NEW.lease_until := NULL;
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

CREATE FUNCTION public.refuse_move(wanted_id text, token uuid, move text) RETURNS void
    LANGUAGE plpgsql
    AS $$
-- Says why a guarded UPDATE found no row. `token` is NULL for moves that need no claim.
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

CREATE FUNCTION public.release_task(task_id text, claim_token uuid) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'pending'
     WHERE t.id = task_id AND t.claim_token = release_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, release_task.claim_token, 'released');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.renew_task(task_id text, claim_token uuid, lease_seconds integer DEFAULT 300, progress real DEFAULT NULL::real, note text DEFAULT NULL::text) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task  tasks;
    lease interval := check_lease(lease_seconds);
BEGIN
    UPDATE tasks t SET lease_until = clock_timestamp() + lease,
           progress = COALESCE(renew_task.progress, t.progress), progress_note = COALESCE(note, t.progress_note)
     WHERE t.id = task_id AND t.claim_token = renew_task.claim_token AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, renew_task.claim_token, 'renewed');
    END IF;
    RETURN task;
END $$;

CREATE FUNCTION public.retry_delay(attempts integer) RETURNS interval
    LANGUAGE sql IMMUTABLE
    AS $$
-- 10 s, 20 s, 40 s … at most an hour.
    SELECT make_interval(secs => LEAST(3600, 10 * 2 ^ LEAST(attempts - 1, 12)))
$$;

CREATE FUNCTION public.start_task(task_id text, claim_token uuid, process_id integer DEFAULT NULL::integer) RETURNS public.tasks
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    task tasks;
BEGIN
    UPDATE tasks t SET status = 'running', process_id = COALESCE(start_task.process_id, t.process_id)
     WHERE t.id = task_id AND t.claim_token = start_task.claim_token AND t.status = 'claimed'
       AND t.lease_until > clock_timestamp()
    RETURNING t.* INTO task;
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, start_task.claim_token, 'started');
    END IF;
    RETURN task;
END $$;

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
    CONSTRAINT sessions_artifact_count_check CHECK ((artifact_count >= 0)),
    CONSTRAINT sessions_check CHECK (((status = 'completed'::text) = (completed_at IS NOT NULL))),
    CONSTRAINT sessions_conversation_chunk_count_check CHECK ((conversation_chunk_count >= 0)),
    CONSTRAINT sessions_id_check CHECK (((id <> ''::text) AND (length(id) <= 200))),
    CONSTRAINT sessions_memory_count_check CHECK ((memory_count >= 0)),
    CONSTRAINT sessions_participants_check CHECK ((jsonb_typeof(participants) = 'array'::text)),
    CONSTRAINT sessions_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'completed'::text]))),
    CONSTRAINT sessions_task_count_check CHECK ((task_count >= 0))
);

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

CREATE TABLE public.agents (
    name text NOT NULL,
    type text DEFAULT 'cli'::text NOT NULL,
    command text,
    max_concurrent integer DEFAULT 4 NOT NULL,
    capabilities jsonb DEFAULT '[]'::jsonb NOT NULL,
    status text DEFAULT 'available'::text NOT NULL,
    current_tasks integer DEFAULT 0 NOT NULL,
    last_heartbeat timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created timestamp with time zone DEFAULT now() NOT NULL,
    updated timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT agents_current_tasks_check CHECK ((current_tasks >= 0)),
    CONSTRAINT agents_max_concurrent_check CHECK ((max_concurrent >= 0)),
    CONSTRAINT agents_name_check CHECK (((name <> ''::text) AND (length(name) <= 100))),
    CONSTRAINT agents_status_check CHECK ((status = ANY (ARRAY['available'::text, 'busy'::text, 'offline'::text, 'error'::text])))
);

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
    sha256 text GENERATED ALWAYS AS (encode(sha256(public.convert_to_utf8(content)), 'hex'::text)) STORED NOT NULL,
    size integer GENERATED ALWAYS AS (octet_length(content)) STORED NOT NULL,
    delivery text,
    CONSTRAINT artifacts_id_check CHECK (((id <> ''::text) AND (length(id) <= 200)))
);

COMMENT ON COLUMN public.artifacts.size IS 'bytes of the content in UTF-8';

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
    CONSTRAINT conversation_chunks_check CHECK (((first_turn IS NULL) = (last_turn IS NULL))),
    CONSTRAINT conversation_chunks_format_check CHECK ((format = ANY (ARRAY['dialogue'::text, 'summary'::text, 'transcript'::text])))
);

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
    CONSTRAINT deliveries_check CHECK (((state = ANY (ARRAY['processed'::text, 'ignored'::text])) = (processed_at IS NOT NULL))),
    CONSTRAINT deliveries_check1 CHECK (((state <> 'failed'::text) OR ((error IS NOT NULL) AND (error_code IS NOT NULL)))),
    CONSTRAINT deliveries_id_check CHECK ((id ~ '^[0-9a-f]{32}$'::text)),
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['received'::text, 'processed'::text, 'ignored'::text, 'failed'::text])))
);

COMMENT ON COLUMN public.deliveries.id IS '32 hex digits of sha256(source, newline, delivery_id)';

COMMENT ON COLUMN public.deliveries.body IS 'the request body byte for byte; convert_from(body, ''UTF8'') reads it';

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
    CONSTRAINT memories_check CHECK ((superseded_by <> id)),
    CONSTRAINT memories_check1 CHECK ((num_nonnulls(char_start, char_end, quote) = ANY (ARRAY[0, 3]))),
    CONSTRAINT memories_check2 CHECK (((quote IS NULL) OR ((char_end - char_start) = length(quote)))),
    CONSTRAINT memories_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT memories_key_check CHECK ((key <> ''::text)),
    CONSTRAINT memories_review_check CHECK ((review = ANY (ARRAY['proposed'::text, 'accepted'::text, 'rejected'::text, 'edited'::text]))),
    CONSTRAINT memories_type_check CHECK ((type = ANY (ARRAY['idea'::text, 'decision'::text, 'question'::text, 'action_item'::text, 'fact'::text, 'note'::text, 'preference'::text, 'context'::text, 'risk'::text])))
);

COMMENT ON COLUMN public.memories.char_start IS 'where the quote begins in turns.text, counted in characters from 0';

ALTER TABLE public.memories ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.memories_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.schema_migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

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
    t.updated
   FROM (public.tasks t
     LEFT JOIN public.sessions s ON ((s.id = t.session_id)))
  WHERE (t.status <> ALL (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text]))
  ORDER BY t.priority DESC, t.created, t.id;

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
    CONSTRAINT turns_role_check CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text, 'other'::text, 'summary'::text]))),
    CONSTRAINT turns_seq_check CHECK ((seq >= 1)),
    CONSTRAINT turns_text_check CHECK ((text <> ''::text))
);

COMMENT ON COLUMN public.turns.start_seconds IS 'seconds from the start of the conversation';

ALTER TABLE public.turns ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.turns_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.conversation_chunks
    ADD CONSTRAINT conversation_chunks_session_id_chunk_id_key UNIQUE (session_id, chunk_id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_source_delivery_id_key UNIQUE (source, delivery_id);

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_session_id_key_key UNIQUE (session_id, key);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_session_id_seq_key UNIQUE (session_id, seq) DEFERRABLE;

CREATE INDEX artifacts_by_delivery ON public.artifacts USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX artifacts_by_session ON public.artifacts USING btree (session_id, created DESC);

CREATE INDEX artifacts_by_task ON public.artifacts USING btree (task_id) WHERE (task_id IS NOT NULL);

CREATE INDEX artifacts_words ON public.artifacts USING gin (to_tsvector('english'::regconfig, content));

CREATE INDEX conversation_chunks_by_delivery ON public.conversation_chunks USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX conversation_chunks_first_turn ON public.conversation_chunks USING btree (first_turn);

CREATE INDEX conversation_chunks_last_turn ON public.conversation_chunks USING btree (last_turn);

CREATE INDEX conversation_chunks_words ON public.conversation_chunks USING gin (to_tsvector('english'::regconfig, content));

CREATE INDEX deliveries_by_arrival ON public.deliveries USING btree (received_at DESC, id);

CREATE INDEX deliveries_by_session ON public.deliveries USING btree (session_id) WHERE (session_id IS NOT NULL);

CREATE INDEX deliveries_unfinished ON public.deliveries USING btree (next_attempt_at) WHERE (state = 'received'::text);

CREATE INDEX memories_by_delivery ON public.memories USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX memories_by_tags ON public.memories USING gin (tags);

CREATE INDEX memories_by_turn ON public.memories USING btree (turn) WHERE (turn IS NOT NULL);

CREATE INDEX memories_by_type ON public.memories USING btree (type, created DESC, id);

CREATE INDEX memories_superseded_by ON public.memories USING btree (superseded_by) WHERE (superseded_by IS NOT NULL);

CREATE INDEX memories_words ON public.memories USING gin (to_tsvector('english'::regconfig, (content)::text));

CREATE INDEX sessions_by_activity ON public.sessions USING btree (last_activity DESC, id);

CREATE INDEX tasks_by_delivery ON public.tasks USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX tasks_by_memory ON public.tasks USING btree (memory) WHERE (memory IS NOT NULL);

CREATE INDEX tasks_by_session ON public.tasks USING btree (session_id);

CREATE INDEX tasks_by_update ON public.tasks USING btree (updated DESC, id);

CREATE INDEX tasks_claimable ON public.tasks USING btree (agent_name, priority DESC, created, id) WHERE (status = 'pending'::text);

CREATE INDEX tasks_held ON public.tasks USING btree (agent_name) WHERE (status = ANY (ARRAY['claimed'::text, 'running'::text]));

CREATE INDEX tasks_leases ON public.tasks USING btree (lease_until) WHERE (status = ANY (ARRAY['claimed'::text, 'running'::text]));

CREATE INDEX tasks_words ON public.tasks USING gin (to_tsvector('english'::regconfig, ((title || ' '::text) || (input_data)::text)));

CREATE INDEX turns_by_delivery ON public.turns USING btree (delivery) WHERE (delivery IS NOT NULL);

CREATE INDEX turns_words ON public.turns USING gin (to_tsvector('english'::regconfig, text));

CREATE TRIGGER count_deleted AFTER DELETE ON public.artifacts REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('artifact_count');

CREATE TRIGGER count_deleted AFTER DELETE ON public.conversation_chunks REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('conversation_chunk_count');

CREATE TRIGGER count_deleted AFTER DELETE ON public.memories REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('memory_count');

CREATE TRIGGER count_deleted AFTER DELETE ON public.tasks REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('task_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.artifacts REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('artifact_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.conversation_chunks REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('conversation_chunk_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.memories REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('memory_count');

CREATE TRIGGER count_inserted AFTER INSERT ON public.tasks REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.count_session_rows('task_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.artifacts FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('artifact_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.conversation_chunks FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('conversation_chunk_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.memories FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('memory_count');

CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON public.tasks FOR EACH ROW WHEN ((old.session_id IS DISTINCT FROM new.session_id)) EXECUTE FUNCTION public.move_session_count('task_count');

CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE OF status ON public.sessions FOR EACH ROW EXECUTE FUNCTION public.keep_session_times();

CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.keep_task_times();

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

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_delivery_fkey FOREIGN KEY (delivery) REFERENCES public.deliveries(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_superseded_by_fkey FOREIGN KEY (superseded_by) REFERENCES public.memories(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.memories
    ADD CONSTRAINT memories_turn_fkey FOREIGN KEY (turn) REFERENCES public.turns(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_agent_name_fkey FOREIGN KEY (agent_name) REFERENCES public.agents(name) ON UPDATE CASCADE;

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
