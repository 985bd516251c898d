-- The same rules for fewer statements: what a claim costs is what a queue can do.

-- PostgreSQL reads every CHECK of a table anew for each statement that writes to it. One function, planned once for
-- a connection, replaces them; each rule keeps its name as the constraint of the error.
CREATE FUNCTION task_is_whole(
    id text, agent_name text, capabilities jsonb, status text, claimed_by text, claimed_at timestamptz,
    claim_token uuid, lease_until timestamptz, slot integer, started timestamptz, completed timestamptz,
    question text, attempts integer, max_attempts integer, depends_on text[], waiting_for integer,
    acceptance jsonb, progress real) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    held    boolean := status IN ('claimed', 'running');
    ended   boolean := status IN ('completed', 'failed', 'cancelled');
    problem text := CASE
        WHEN NOT (held OR ended OR status IN ('proposed', 'pending', 'needs_input')) THEN 'tasks_status_check'
        WHEN held <> (claim_token IS NOT NULL) THEN 'a_held_task_has_a_token'
        WHEN held <> (lease_until IS NOT NULL) THEN 'a_held_task_has_a_lease'
        WHEN held AND num_nulls(claimed_by, claimed_at) > 0 THEN 'a_held_task_has_a_holder'
        WHEN status = 'running' AND started IS NULL THEN 'a_running_task_has_started'
        WHEN ended <> (completed IS NOT NULL) THEN 'an_ended_task_has_its_time'
        WHEN (status = 'needs_input') <> (question IS NOT NULL) THEN 'an_asking_task_has_its_question'
        WHEN slot IS NOT NULL AND NOT held THEN 'only_a_held_task_has_a_slot'
        WHEN agent_name IS NULL AND capabilities = '[]' THEN 'a_task_is_for_an_agent_or_a_capability'
        WHEN jsonb_typeof(capabilities) <> 'array' THEN 'tasks_capabilities_check'
        WHEN id = '' OR length(id) > 200 THEN 'tasks_id_check'
        WHEN attempts < 0 THEN 'tasks_attempts_check'
        WHEN max_attempts < 1 THEN 'tasks_max_attempts_check'
        WHEN waiting_for < 0 THEN 'tasks_waiting_for_check'
        WHEN id = ANY (depends_on) THEN 'a_task_does_not_depend_on_itself'
        WHEN jsonb_typeof(acceptance) <> 'object' THEN 'tasks_acceptance_check'
        WHEN NOT progress BETWEEN 0 AND 1 THEN 'tasks_progress_check'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'A task is refused: it breaks %.', problem USING ERRCODE = 'check_violation', CONSTRAINT = problem;
    END IF;
    RETURN true;
END $$;

DO $$
DECLARE
    replaced name;
BEGIN
    FOR replaced IN SELECT conname FROM pg_constraint WHERE conrelid = 'tasks'::regclass AND contype = 'c' LOOP
        EXECUTE format('ALTER TABLE tasks DROP CONSTRAINT %I', replaced);
    END LOOP;
END $$;
ALTER TABLE tasks ADD CONSTRAINT a_task_is_whole CHECK (task_is_whole(
    id, agent_name, capabilities, status, claimed_by, claimed_at, claim_token, lease_until, slot, started, completed,
    question, attempts, max_attempts, depends_on, waiting_for, acceptance, progress));

-- A claim fills these columns and writes its own history (below). Only claim_task() makes one: it alone gives a new
-- last_token.
CREATE OR REPLACE FUNCTION keep_task_times() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP TRIGGER keep_times ON tasks;
CREATE TRIGGER keep_times_inserted BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION keep_task_times();
CREATE TRIGGER keep_times_updated BEFORE UPDATE ON tasks FOR EACH ROW
    WHEN (NEW.last_token IS NOT DISTINCT FROM OLD.last_token) EXECUTE FUNCTION keep_task_times();

CREATE OR REPLACE FUNCTION record_task_move() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP TRIGGER record_move ON tasks;
CREATE TRIGGER record_move AFTER UPDATE ON tasks FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status AND NEW.last_token IS NOT DISTINCT FROM OLD.last_token)
    EXECUTE FUNCTION record_task_move();

CREATE FUNCTION say_actor(actor text, reason text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
-- Who moves tasks in the statements that follow, and why: for task_events. `:holder` is whoever held the task, nobody
-- (NULL) the database user. Who says it takes it back, lest a later statement be put down to them.
    SELECT set_config('ai_webhook.actor', COALESCE(actor, ''), true)
        || set_config('ai_webhook.reason', COALESCE(reason, ''), true)
$$;
DROP FUNCTION say_mover(text, text);

CREATE OR REPLACE FUNCTION queue_of(wanted_agent text, can jsonb) RETURNS TABLE (id text) LANGUAGE sql STABLE AS $$
-- What the agent may claim, most urgent first: tasks that name it, and tasks that name only capabilities it has.
-- Both halves read tasks_claimable in its order, so that the first rows come without reading the rest; OFFSET 0 keeps
-- what the caller asks of a row from being asked before the rows are in order.
    SELECT q.id FROM (
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name = wanted_agent
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created, t.id)
        UNION ALL
        (SELECT t.id, t.priority, t.created FROM tasks t
          WHERE t.agent_name IS NULL AND t.capabilities <@ can
            AND t.status = 'pending' AND t.waiting_for = 0 AND t.not_before IS NULL
          ORDER BY t.priority DESC, t.created, t.id)
    ) AS q ORDER BY q.priority DESC, q.created, q.id OFFSET 0
$$;

CREATE OR REPLACE FUNCTION fair_queue(wanted_agent text, can jsonb) RETURNS TABLE (id text) LANGUAGE sql STABLE AS $$
-- The first of the queue, those first whose session has fewer tasks held: one long session does not starve the others.
    WITH front AS MATERIALIZED (SELECT q.id FROM queue_of(wanted_agent, can) AS q LIMIT 500)
    SELECT t.id FROM front f JOIN tasks t ON t.id = f.id
     ORDER BY (SELECT count(*) FROM tasks h
                WHERE h.session_id = t.session_id AND h.status IN ('claimed', 'running')),
              t.priority DESC, t.created, t.id OFFSET 0
$$;

CREATE OR REPLACE FUNCTION claim_task(agent_name text, control_agent text, lease_seconds integer DEFAULT 300,
                                      max_tasks integer DEFAULT 1, fair boolean DEFAULT false)
RETURNS TABLE (task_id text, session_id text, task_type text, title text, priority integer, input_data jsonb,
               claim_token uuid, lease_until timestamptz, attempt integer, session_title text, quote text)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_sort = off SET enable_seqscan = off AS $$
-- Gives the most urgent tasks to one agent, at most max_tasks and never past agents.max_concurrent. No row when
-- there is nothing to do; it never waits. `fair` puts tasks of sessions first of which fewer are held.
--
-- Many claims at once would all fight for the first rows of the queue. Here each puts a try-lock, which costs no
-- write and no wait, on the tasks it is about to take, and the others step over those. The UPDATE then looks again:
-- for a task that somebody took and committed in between, or is moving right now, the next in the queue is tried.
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();  -- a variable, since an index cannot be searched by a volatile function
    lease  interval := check_lease(lease_seconds);
    agent  record;
    wanted integer := max_tasks;
    slots  integer[];
    ids    text[];
    tried  text[] := '{}';
    given  integer;
BEGIN
    IF max_tasks IS NULL OR max_tasks NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_tasks is 1 to 1000, not %.', max_tasks USING ERRCODE = 'AW006';
    ELSIF control_agent IS NULL OR control_agent = '' THEN
        RAISE EXCEPTION 'control_agent names who claims; it is empty.' USING ERRCODE = 'AW006';
    END IF;
    SELECT a.max_concurrent AS places, a.capabilities AS can,
           EXISTS (SELECT FROM tasks t WHERE t.status IN ('claimed', 'running') AND t.lease_until <= moment)
           OR EXISTS (SELECT FROM tasks t WHERE t.status = 'pending' AND t.not_before <= moment) AS overdue
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
    WHILE wanted > 0 LOOP
        IF fair THEN
            ids := ARRAY(SELECT q.id FROM fair_queue(claim_task.agent_name, agent.can) AS q
                          WHERE q.id <> ALL (tried) AND pg_try_advisory_xact_lock(4827031, hashtext(q.id)) LIMIT wanted);
        ELSE
            ids := ARRAY(SELECT q.id FROM queue_of(claim_task.agent_name, agent.can) AS q
                          WHERE q.id <> ALL (tried) AND pg_try_advisory_xact_lock(4827031, hashtext(q.id)) LIMIT wanted);
        END IF;
        EXIT WHEN ids = '{}';
        RETURN QUERY
        WITH taken AS (
            UPDATE tasks t SET status = 'claimed', agent_name = claim_task.agent_name, claimed_by = control_agent,
                   claimed_at = moment, updated = moment, lease_until = clock_timestamp() + lease,
                   claim_token = new.token, last_token = new.token,
                   slot = slots[array_position(ids, t.id)], progress = NULL, progress_note = NULL, progressed_at = NULL
              FROM (SELECT f.id, gen_random_uuid() AS token FROM tasks f
                     WHERE f.id = ANY (ids) AND f.status = 'pending' FOR UPDATE SKIP LOCKED) AS new
             WHERE t.id = new.id
            RETURNING t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
                      t.attempts, t.memory
        ), recorded AS (
            INSERT INTO task_events (task_id, actor, from_status, to_status, attempts)
            SELECT t.id, control_agent, 'pending', 'claimed', t.attempts FROM taken t
        )
        SELECT t.id, t.session_id, t.task_type, t.title, t.priority, t.input_data, t.claim_token, t.lease_until,
               t.attempts + 1, s.title, m.quote
          FROM taken t LEFT JOIN sessions s ON s.id = t.session_id LEFT JOIN memories m ON m.id = t.memory
         ORDER BY array_position(ids, t.id);
        GET DIAGNOSTICS given = ROW_COUNT;
        wanted := wanted - given;
        EXIT WHEN wanted = 0;
        tried := tried || ids;
        IF slots IS NOT NULL THEN
            slots := ARRAY(SELECT free.slot FROM unnest(slots) AS free (slot) WHERE NOT EXISTS (
                SELECT FROM tasks t WHERE t.agent_name = claim_task.agent_name AND t.slot = free.slot));
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION expire_claims() RETURNS integer LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION start_task(task_id text, claim_token uuid, process_id integer DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION complete_task(task_id text, claim_token uuid, output_data jsonb DEFAULT NULL,
                              artifacts text[] DEFAULT '{}') RETURNS tasks
LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION fail_task(task_id text, claim_token uuid, error text, retry boolean DEFAULT true) RETURNS tasks
LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION release_task(task_id text, claim_token uuid) RETURNS tasks LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION ask_task(task_id text, claim_token uuid, question text) RETURNS tasks LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION answer_task(task_id text, answer text, person text) RETURNS tasks LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION approve_task(task_id text, person text) RETURNS tasks LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION cancel_task(task_id text, reason text DEFAULT NULL, person text DEFAULT NULL) RETURNS tasks
LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION deregister_agent(agent_name text) RETURNS integer LANGUAGE plpgsql AS $$
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

CREATE FUNCTION retry_task(task_id text, person text) RETURNS tasks LANGUAGE plpgsql AS $$
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

CREATE FUNCTION keep_task_id() RETURNS trigger LANGUAGE plpgsql AS $$
-- History, artifacts and other tasks know a task by its id.
BEGIN
    RAISE EXCEPTION 'Task % keeps its id.', OLD.id USING ERRCODE = 'AW002';
END $$;
CREATE TRIGGER keep_id BEFORE UPDATE OF id ON tasks FOR EACH ROW WHEN (NEW.id <> OLD.id)
    EXECUTE FUNCTION keep_task_id();
