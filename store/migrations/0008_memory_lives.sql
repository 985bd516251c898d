-- What becomes of a memory: it is said again, replaced by a later decision, and reviewed by people.
--
-- Who changes memories of several sessions locks the sessions first, in the order of their ids, as the workers do.

CREATE FUNCTION memory_words(type text, title text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
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

CREATE FUNCTION word_groups(words text[]) RETURNS TABLE (part text[]) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
-- Parts of a memory's words, one of which every title has whole that says nearly the same: a title that lacks one word
-- in four still has one of two halves. Numbers are the same in both, so they are in every part: of ten thousand tickets
-- "Review ticket 4711" finds one.
    SELECT words[1:1] WHERE words <> '{}'
     UNION ALL
    SELECT array_agg(w.word) || ARRAY(SELECT f.word FROM unnest(words[2:]) AS f (word) WHERE f.word ~ '[0-9]')
      FROM unnest(words[2:]) WITH ORDINALITY AS w (word, place)
     WHERE cardinality(words) > 4 GROUP BY w.place % (1 + (cardinality(words) - 1) / 4)
$$;

ALTER TABLE memories
    ADD COLUMN said_at timestamptz,
    ADD COLUMN merged_into bigint REFERENCES memories DEFERRABLE INITIALLY DEFERRED,
    ADD COLUMN merged_by text,
    ADD COLUMN apart_from bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN superseded_at timestamptz,
    ADD COLUMN reviewed_by text,
    ADD COLUMN reviewed_at timestamptz,
    ADD COLUMN review_before text,
    ADD COLUMN words text[] NOT NULL GENERATED ALWAYS AS (memory_words(type, title)) STORED;

UPDATE memories m
   SET said_at = COALESCE((SELECT t.start_time FROM turns t WHERE t.id = m.turn),
                          (SELECT d.received_at FROM deliveries d WHERE d.id = m.delivery), m.created),
       superseded_at = CASE WHEN m.superseded_by IS NOT NULL THEN m.updated END;

ALTER TABLE memories
    ALTER COLUMN said_at SET DEFAULT clock_timestamp(),
    ALTER COLUMN said_at SET NOT NULL,
    ADD CONSTRAINT a_memory_is_not_merged_into_itself CHECK (merged_into <> id),
    ADD CONSTRAINT a_superseded_memory_has_its_time CHECK ((superseded_by IS NULL) = (superseded_at IS NULL));

COMMENT ON COLUMN memories.said_at IS 'when it was said: the time of its turn, else of its delivery';
COMMENT ON COLUMN memories.merged_into IS 'the memory that stands for this one, which says the same again';
COMMENT ON COLUMN memories.merged_by IS 'the person who merged or split it; NULL when the rules did';
COMMENT ON COLUMN memories.apart_from IS 'memories with which a person said it has nothing to do';
COMMENT ON COLUMN memories.superseded_at IS 'when what replaced it was said';
COMMENT ON COLUMN memories.review_before IS 'what the review was before it became what it is';
COMMENT ON COLUMN memories.words IS 'stems by which the same said again is found; see memory_words()';

CREATE INDEX memories_merged ON memories (merged_into) WHERE merged_into IS NOT NULL;
-- It is searched for every memory that comes in, so nothing waits in a pending list that each search would have to read.
-- Beside 100,000 memories a search by stems, with pg_trgm's similarity of what it finds, takes 0.25 ms; by an index of
-- trigrams, which are much less telling, it took 3 to 9 ms.
CREATE INDEX memories_by_words ON memories USING gin (words) WITH (fastupdate = off) WHERE merged_into IS NULL;

ALTER TABLE tasks ADD COLUMN decision bigint REFERENCES memories ON DELETE SET NULL, ADD COLUMN doubt text;
COMMENT ON COLUMN tasks.decision IS 'the decision that the task is about, as far as its words show';
COMMENT ON COLUMN tasks.doubt IS 'why it may no longer be wanted: the decision was replaced, or its action item rejected';
CREATE INDEX tasks_by_decision ON tasks (decision) WHERE decision IS NOT NULL;

-- What a worker could not do because somebody had the row, or could not see because it was being written at the same
-- moment: the sweep looks at these memories again.
CREATE TABLE memories_to_look_at (
    memory bigint PRIMARY KEY REFERENCES memories ON DELETE CASCADE,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE VIEW memory_overview AS
SELECT m.id, m.session_id, m.type, m.key, m.title, m.content, m.tags, m.confidence, m.extractor, m.speaker, m.turn,
       t.seq AS turn_seq, m.char_start, m.char_end, m.quote, m.review, m.reviewed_by, m.reviewed_at, m.merged_into,
       m.merged_by, m.superseded_by, m.superseded_at, m.delivery, m.said_at, m.created, m.updated,
       1 + (SELECT count(*) FROM memories e WHERE e.merged_into = COALESCE(m.merged_into, m.id))::integer AS times_said
  FROM memories m LEFT JOIN turns t ON t.id = m.turn;
COMMENT ON COLUMN memory_overview.times_said IS 'how often it was said, counting all that are merged';

CREATE VIEW memory_evidence AS
SELECT COALESCE(m.merged_into, m.id) AS memory, m.id AS evidence, m.session_id, m.turn, t.seq AS turn_seq, m.title,
       m.quote, m.speaker, m.said_at
  FROM memories m LEFT JOIN turns t ON t.id = m.turn;

CREATE FUNCTION memories_as_of(at timestamptz) RETURNS SETOF memory_overview LANGUAGE sql STABLE AS $$
-- What stood then: said by then, not yet replaced, and not rejected by a person since.
    SELECT * FROM memory_overview m
     WHERE m.merged_into IS NULL AND m.review <> 'rejected' AND (m.superseded_at IS NULL OR m.superseded_at > at)
       AND (m.said_at <= at OR EXISTS (SELECT FROM memories e WHERE e.merged_into = m.id AND e.said_at <= at))
$$;

CREATE FUNCTION sayings_of(memory bigint) RETURNS SETOF bigint LANGUAGE sql STABLE AS $$
-- The ids of a memory that stands and of all that are merged into it.
    SELECT memory UNION ALL SELECT m.id FROM memories m WHERE m.merged_into = memory
$$;

CREATE FUNCTION is_first_here(memory bigint, root bigint, here text) RETURNS boolean LANGUAGE sql STABLE AS $$
-- Whether a merged memory is the first of its session to say what one of another session stands for.
    SELECT NOT EXISTS (SELECT FROM memories m
                        WHERE m.session_id = here AND (m.id = root OR (m.merged_into = root AND m.id < memory)))
$$;

CREATE FUNCTION is_reviewed(memory memories) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
-- Whether a person has said something about it. What the rules merged into a rejected memory is rejected, and not reviewed.
    SELECT num_nonnulls(memory.reviewed_by, memory.merged_by) > 0 OR memory.apart_from <> '{}'
           OR (memory.merged_into IS NULL AND memory.review <> 'proposed'
               AND NOT (memory.extractor = 'sender' AND memory.review = 'accepted'))
$$;

CREATE FUNCTION acting_person() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT COALESCE(NULLIF(current_setting('ai_webhook.actor', true), ''), current_user)
$$;

CREATE FUNCTION lock_memories(wanted bigint[]) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE FUNCTION standing_memory(memory bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
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

-- Said again

CREATE FUNCTION keep_merged_memory() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER keep_merged BEFORE INSERT OR UPDATE OF merged_into, type ON memories FOR EACH ROW
    WHEN (NEW.merged_into IS NOT NULL) EXECUTE FUNCTION keep_merged_memory();

CREATE FUNCTION follow_memory_type() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE memories m SET type = NEW.type, updated = clock_timestamp() WHERE m.merged_into = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER follow_type AFTER UPDATE OF type ON memories FOR EACH ROW
    WHEN (OLD.type <> NEW.type) EXECUTE FUNCTION follow_memory_type();

CREATE FUNCTION hand_over_memory() RETURNS trigger LANGUAGE plpgsql AS $$
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
-- Named so that it comes before the foreign keys' own triggers, which forget who pointed where.
CREATE TRIGGER "Hand_over" AFTER DELETE ON memories FOR EACH ROW
    WHEN (OLD.merged_into IS NULL) EXECUTE FUNCTION hand_over_memory();

CREATE FUNCTION join_memories(memory bigint, root bigint, person text) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE FUNCTION merge_memory(memory bigint, into_memory bigint, person text DEFAULT NULL) RETURNS memories
LANGUAGE plpgsql AS $$
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

CREATE FUNCTION split_memory(memory bigint, person text DEFAULT NULL) RETURNS memories LANGUAGE plpgsql AS $$
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

CREATE FUNCTION revive_tasks(memory_ids bigint[], reason text) RETURNS void LANGUAGE sql AS $$
-- Tasks that were cancelled for this reason are again what they were before.
    UPDATE tasks t SET error_message = NULL,
           status = (SELECT e.from_status FROM task_events e WHERE e.task_id = t.id ORDER BY e.id DESC LIMIT 1)
     WHERE t.memory = ANY (memory_ids) AND t.status = 'cancelled' AND t.error_message LIKE reason
$$;

CREATE FUNCTION near_memories(
    wanted_type text, wanted_title text, at timestamptz DEFAULT clock_timestamp(), only_session text DEFAULT NULL,
    alike real DEFAULT 0.75)
RETURNS TABLE (id bigint, session_id text, title text, speaker text, owner text, delivery text, apart_from bigint[],
               likeness real)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
-- Memories that stood at a time and whose words are nearly those of a title, most alike first: pg_trgm's similarity of
-- the stems. Volatile, so that each call sees what was committed by then.
#variable_conflict use_column
DECLARE
    looked_for text[] := memory_words(wanted_type, wanted_title);
    together   text := array_to_string(looked_for[2:], ' ');
BEGIN
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

-- Replaced

CREATE FUNCTION keep_superseded_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.superseded_at := CASE WHEN NEW.superseded_by IS NOT NULL THEN COALESCE(NEW.superseded_at, clock_timestamp()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_superseded BEFORE INSERT OR UPDATE OF superseded_by, superseded_at ON memories FOR EACH ROW
    WHEN (NEW.superseded_by IS NOT NULL OR NEW.superseded_at IS NOT NULL) EXECUTE FUNCTION keep_superseded_memory();

CREATE FUNCTION doubt_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER doubt_tasks AFTER UPDATE ON memories FOR EACH ROW
    WHEN (OLD.superseded_by IS DISTINCT FROM NEW.superseded_by) EXECUTE FUNCTION doubt_tasks();

CREATE FUNCTION replaceable_memories(newer bigint, parts text[])
RETURNS TABLE (id bigint, session_id text, type text, title text, content jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
SET max_parallel_workers_per_gather = 0 AS $$
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

CREATE FUNCTION supersede_memory(memory bigint, by_memory bigint, person text DEFAULT NULL) RETURNS memories
LANGUAGE plpgsql AS $$
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

CREATE FUNCTION reinstate_memory(memory bigint, person text DEFAULT NULL) RETURNS memories LANGUAGE plpgsql AS $$
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

-- Reviewed

CREATE FUNCTION note_memory_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.review_before := OLD.review;
    NEW.reviewed_by := acting_person();
    NEW.reviewed_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER note_review BEFORE UPDATE ON memories FOR EACH ROW
    WHEN (OLD.review <> NEW.review) EXECUTE FUNCTION note_memory_review();

CREATE FUNCTION follow_memory_review() RETURNS trigger LANGUAGE plpgsql AS $$
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
    END IF;
    IF NEW.review = 'accepted' THEN
        UPDATE tasks t SET status = 'pending', input_data = t.input_data || jsonb_build_object('approved_by', NEW.reviewed_by)
         WHERE t.memory = ANY (sayings) AND t.status = 'proposed' AND t.task_type <> 'errand';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER follow_review AFTER UPDATE ON memories FOR EACH ROW
    WHEN (OLD.review <> NEW.review AND NEW.merged_into IS NULL) EXECUTE FUNCTION follow_memory_review();

CREATE OR REPLACE FUNCTION mark_edited_memory() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION retitle_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
-- A task that nobody has begun says what its memory says after a person has edited it.
BEGIN
    UPDATE tasks t SET title = NEW.title, input_data = t.input_data || jsonb_build_object('title', NEW.title)
     WHERE t.memory = NEW.id AND t.title = OLD.title AND t.status IN ('proposed', 'pending');
    RETURN NULL;
END $$;
CREATE TRIGGER retitle_tasks AFTER UPDATE ON memories FOR EACH ROW
    WHEN (OLD.title <> NEW.title AND NEW.review = 'edited') EXECUTE FUNCTION retitle_tasks();

CREATE FUNCTION review_memory(memory bigint, wanted text, person text, reason text DEFAULT NULL) RETURNS memories
LANGUAGE plpgsql AS $$
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

CREATE FUNCTION edit_memory(
    memory bigint, person text DEFAULT NULL, type text DEFAULT NULL, title text DEFAULT NULL, content jsonb DEFAULT NULL,
    tags text[] DEFAULT NULL) RETURNS memories LANGUAGE plpgsql AS $$
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

CREATE FUNCTION accept_memory(memory bigint, person text DEFAULT NULL) RETURNS memories LANGUAGE sql AS $$
-- It is right as it stands. The task of an action item that was only inferred is approved.
    SELECT review_memory(memory, 'accepted', person, 'its memory was accepted')
$$;

CREATE FUNCTION reject_memory(memory bigint, person text DEFAULT NULL, reason text DEFAULT NULL) RETURNS memories
LANGUAGE sql AS $$
-- It was not meant, or is wrong. It is kept, so that it is known and rejected when it is said again the same way; a
-- task nobody has begun is cancelled.
    SELECT review_memory(memory, 'rejected', person, COALESCE(reason, 'its memory was rejected'))
$$;

CREATE FUNCTION restore_memory(memory bigint, person text DEFAULT NULL) RETURNS memories LANGUAGE plpgsql AS $$
-- Takes a rejection back, with what it did to tasks.
DECLARE
    standing bigint := standing_memory(memory);
    before   text;
BEGIN
    SELECT m.review_before INTO before FROM memories m WHERE m.id = standing AND m.review = 'rejected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'Memory % is not rejected.', standing USING ERRCODE = 'AW006';
    END IF;
    RETURN review_memory(standing, COALESCE(before, 'proposed'), person, 'its memory was restored');
END $$;

CREATE OR REPLACE VIEW task_queue AS
SELECT t.id, t.title, t.agent_name, t.task_type, t.status, t.priority, t.session_id, s.title AS session_title,
       t.claimed_by, t.lease_until, t.attempts, t.max_attempts, t.not_before, t.depends_on, t.question, t.input_data,
       t.created, t.updated, t.capabilities, t.progress, t.progress_note,
       CASE WHEN t.status IN ('claimed', 'running')
            THEN clock_timestamp() - COALESCE(t.progressed_at, t.claimed_at) END AS without_progress_for,
       CASE WHEN t.waiting_for > 0 THEN ARRAY(SELECT d.id FROM tasks d
                                               WHERE d.id = ANY (t.depends_on) AND d.status <> 'completed') END AS blocked_by,
       t.waiting_for > 0 AND EXISTS (SELECT FROM tasks d WHERE d.id = ANY (t.depends_on)
                                        AND d.status IN ('failed', 'cancelled')) AS blocked_for_good,
       t.doubt
  FROM tasks t LEFT JOIN sessions s ON s.id = t.session_id
 WHERE t.status NOT IN ('completed', 'failed', 'cancelled')
 ORDER BY t.priority DESC, t.created, t.id;
