-- Counters and last_activity of a session, kept by statement-level triggers for every writer, plain SQL included.

CREATE FUNCTION count_session_rows() RETURNS trigger LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION move_session_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE sessions SET %I = %I + CASE id WHEN $1 THEN -1 ELSE 1 END,
                           last_activity = GREATEST(last_activity, clock_timestamp()) WHERE id IN ($1, $2)',
                   TG_ARGV[0], TG_ARGV[0])
      USING OLD.session_id, NEW.session_id;
    RETURN NULL;
END $$;

DO $$
DECLARE
    counted record;
BEGIN
    FOR counted IN SELECT * FROM (VALUES ('conversation_chunks', 'conversation_chunk_count'),
                                         ('memories', 'memory_count'),
                                         ('tasks', 'task_count'),
                                         ('artifacts', 'artifact_count')) AS c (relation, counter)
    LOOP
        EXECUTE format('CREATE TRIGGER count_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS changed_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION count_session_rows(%L)',
                       counted.relation, counted.counter);
        EXECUTE format('CREATE TRIGGER count_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS changed_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION count_session_rows(%L)',
                       counted.relation, counted.counter);
        EXECUTE format('CREATE TRIGGER count_moved AFTER UPDATE OF session_id ON %I FOR EACH ROW
                        WHEN (OLD.session_id IS DISTINCT FROM NEW.session_id)
                        EXECUTE FUNCTION move_session_count(%L)',
                       counted.relation, counted.counter);
    END LOOP;
END $$;

CREATE FUNCTION keep_session_times() RETURNS trigger LANGUAGE plpgsql AS $$
-- `UPDATE sessions SET status = 'completed'` as a person types it stays within the constraints.
BEGIN
    NEW.completed_at := CASE WHEN NEW.status = 'completed' THEN COALESCE(NEW.completed_at, now()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE OF status ON sessions
    FOR EACH ROW EXECUTE FUNCTION keep_session_times();

CREATE FUNCTION keep_task_times() RETURNS trigger LANGUAGE plpgsql AS $$
-- A move sets the status; what the constraints tie to the status follows here, also for plain SQL.
-- A claim cannot be made this way: only claim_task() gives a token and a lease.
BEGIN
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
CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION keep_task_times();

CREATE FUNCTION keep_task_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO task_words VALUES (NEW.id, to_tsvector('english', NEW.title || ' ' || NEW.input_data::text))
    ON CONFLICT (task_id) DO UPDATE SET words = EXCLUDED.words;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_words AFTER INSERT OR UPDATE OF title, input_data ON tasks
    FOR EACH ROW EXECUTE FUNCTION keep_task_words();

CREATE FUNCTION count_dependencies() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER count_dependencies BEFORE INSERT ON tasks FOR EACH ROW WHEN (NEW.depends_on <> '{}')
    EXECUTE FUNCTION count_dependencies();
CREATE TRIGGER recount_dependencies BEFORE UPDATE OF depends_on ON tasks FOR EACH ROW
    WHEN (NEW.depends_on IS DISTINCT FROM OLD.depends_on) EXECUTE FUNCTION count_dependencies();

CREATE FUNCTION record_task_move() RETURNS trigger LANGUAGE plpgsql AS $$
-- Writes the move into task_events, frees what waited for a completed task, and wakes who waits for work.
-- The functions of 0003 say who moves and why; a plain UPDATE is the database user's.
BEGIN
    INSERT INTO task_events (task_id, actor, from_status, to_status, attempts, reason)
    VALUES (NEW.id, COALESCE(NULLIF(current_setting('ai_webhook.actor', true), ''), current_user),
            CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status, NEW.attempts,
            NULLIF(current_setting('ai_webhook.reason', true), ''));
    IF NEW.status = 'completed' THEN
        UPDATE tasks SET waiting_for = waiting_for - 1 WHERE waiting_for > 0 AND depends_on @> ARRAY[NEW.id];
    ELSIF NEW.status = 'pending' THEN
        PERFORM pg_notify('ai_webhook_tasks', COALESCE(NEW.agent_name, '*'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_insert AFTER INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION record_task_move();
CREATE TRIGGER record_move AFTER UPDATE ON tasks FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION record_task_move();

CREATE FUNCTION wake_freed_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ai_webhook_tasks', COALESCE(NEW.agent_name, '*'));
    RETURN NULL;
END $$;
CREATE TRIGGER wake_freed AFTER UPDATE OF waiting_for ON tasks FOR EACH ROW
    WHEN (OLD.waiting_for > 0 AND NEW.waiting_for = 0 AND NEW.status = 'pending') EXECUTE FUNCTION wake_freed_task();

CREATE FUNCTION keep_task_events() RETURNS trigger LANGUAGE plpgsql AS $$
-- History is added to and never rewritten; it goes when its task is deleted, and only then.
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM tasks WHERE id = OLD.task_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'task_events is append-only.' USING ERRCODE = 'AW002';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON task_events FOR EACH ROW EXECUTE FUNCTION keep_task_events();

CREATE FUNCTION forget_task_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM task_events WHERE task_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_events AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION forget_task_events();
