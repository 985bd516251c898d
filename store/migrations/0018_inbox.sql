-- What a person said of a memory or task can be taken back, and what waits for people is found by type and certainty.

CREATE INDEX memories_to_review_by_type ON memories (type, id DESC)
    WHERE review = 'proposed' AND merged_into IS NULL AND superseded_by IS NULL;
CREATE INDEX memories_to_review_by_certainty ON memories (type, confidence, id)
    WHERE review = 'proposed' AND merged_into IS NULL AND superseded_by IS NULL;
CREATE INDEX tasks_asking ON tasks (created DESC, id DESC) WHERE status = 'needs_input';

CREATE OR REPLACE FUNCTION restore_memory(memory bigint, person text DEFAULT NULL) RETURNS memories
    LANGUAGE plpgsql AS $$
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

CREATE OR REPLACE FUNCTION memory_event(before memories, later memories) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$
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

CREATE OR REPLACE FUNCTION follow_memory_review() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION restore_task(task_id text, person text) RETURNS tasks
    LANGUAGE plpgsql AS $$
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
