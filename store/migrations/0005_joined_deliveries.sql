-- One talk told by several deliveries, transcripts that have to be fetched, events that nobody knows, readings again.

ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check, DROP CONSTRAINT deliveries_check;
ALTER TABLE deliveries
    ADD CONSTRAINT deliveries_state_check
        CHECK (state IN ('received', 'processed', 'ignored', 'unknown', 'failed')),
    ADD CONSTRAINT a_finished_delivery_has_its_time
        CHECK ((state IN ('processed', 'ignored', 'unknown')) = (processed_at IS NOT NULL)),
    ADD COLUMN fetched bytea[] NOT NULL DEFAULT '{}',
    ADD COLUMN readings integer NOT NULL DEFAULT 0 CHECK (readings >= 0),
    ADD COLUMN extent text NOT NULL DEFAULT 'part' CHECK (extent IN ('part', 'live', 'whole'));
UPDATE deliveries SET readings = 1 WHERE state = 'processed';
COMMENT ON COLUMN deliveries.state IS
    'received, then processed (kept), ignored (known, nothing to keep), unknown (an event we do not know) or failed';
COMMENT ON COLUMN deliveries.fetched IS 'what was fetched for a delivery that only announced it, in order';
COMMENT ON COLUMN deliveries.readings IS 'how often it was processed; a reading again takes the place of the last';
COMMENT ON COLUMN deliveries.extent IS
    'part: adds to its session; live, whole: tells the talk together with the others of its source and session';
CREATE INDEX deliveries_telling ON deliveries (session_id, source) WHERE extent <> 'part';

ALTER TABLE sessions ADD COLUMN live boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN sessions.live IS 'told segment by segment; completed by itself when nothing comes for a while';
CREATE INDEX sessions_live ON sessions (last_activity) WHERE live AND status = 'active';

-- A memory changed by hand is a person's, also at psql; our own statements set `updated` themselves.
CREATE FUNCTION mark_edited_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.review := 'edited';
    NEW.updated := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER mark_edited BEFORE UPDATE OF type, title, content, tags ON memories FOR EACH ROW
    WHEN (NEW.updated = OLD.updated AND NEW.review = OLD.review
          AND (NEW.type, NEW.title, NEW.content, NEW.tags) IS DISTINCT FROM (OLD.type, OLD.title, OLD.content, OLD.tags))
    EXECUTE FUNCTION mark_edited_memory();
