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
CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION keep_task_times();
