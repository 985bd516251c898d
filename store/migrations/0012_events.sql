-- What happened to tasks and memories, in an order that a reader can follow without missing anything.
--
-- Numbers of a sequence are given before the commit, so a lower one may appear after a higher one was read. Events are
-- read by (xact, id) and only below the oldest transaction that is still under way: what is below it is complete.

ALTER TABLE task_events ADD COLUMN xact bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint);
ALTER TABLE task_events DROP CONSTRAINT task_events_pkey, ADD PRIMARY KEY (xact, id);
COMMENT ON COLUMN task_events.xact IS 'the transaction that wrote it; readers go by (xact, id)';

CREATE TABLE memory_events (
    id         bigint NOT NULL DEFAULT nextval('task_events_id_seq'),
    memory     bigint NOT NULL REFERENCES memories ON DELETE CASCADE,
    session_id text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL,
    event      text NOT NULL CHECK (event IN ('created', 'accepted', 'rejected', 'restored', 'edited', 'merged', 'split',
                                              'superseded', 'reinstated')),
    xact       bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    PRIMARY KEY (xact, id)
);
COMMENT ON TABLE memory_events IS 'who did what to a memory; ids are from the sequence of task_events, so that both make one stream';
CREATE INDEX memory_events_by_memory ON memory_events (memory, id);

CREATE FUNCTION memory_event(before memories, later memories) RETURNS text LANGUAGE sql IMMUTABLE AS $$
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
    END
$$;

CREATE FUNCTION record_memory_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    happened text := CASE TG_OP WHEN 'INSERT' THEN 'created' ELSE memory_event(OLD, NEW) END;
BEGIN
    IF happened IS NOT NULL THEN
        INSERT INTO memory_events (memory, session_id, actor, event)
        VALUES (NEW.id, NEW.session_id, acting_person(), happened);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER record_event AFTER INSERT OR UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION record_memory_event();

CREATE FUNCTION settle_events() RETURNS void LANGUAGE plpgsql AS $$
-- After a restore into another server, whose transactions count from elsewhere: what is stored is long complete, and new
-- events have to come after it.
DECLARE
    next_xact bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
    IF EXISTS (SELECT FROM task_events WHERE xact > next_xact) OR EXISTS (SELECT FROM memory_events WHERE xact > next_xact) THEN
        ALTER TABLE task_events DISABLE TRIGGER append_only;
        UPDATE task_events SET xact = 0;
        ALTER TABLE task_events ENABLE TRIGGER append_only;
        UPDATE memory_events SET xact = 0;
    END IF;
END $$;
