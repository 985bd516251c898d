-- Deliveries counted by quarters of an hour, so that pictures of a month read thousands of rows and not a million. The
-- sweep counts a quarter when it is 15 minutes old. What changes a delivery of an old quarter says so in
-- delivery_changes, which only grows until the sweep reads it: nobody waits for anybody. Until it is counted anew, a
-- quarter is read from the deliveries themselves.
CREATE TABLE delivery_quarters (quarter timestamptz PRIMARY KEY);

CREATE TABLE delivery_counts (
    quarter   timestamptz NOT NULL REFERENCES delivery_quarters ON DELETE CASCADE,
    source    text NOT NULL,
    state     text NOT NULL,
    processed timestamptz,
    class     integer,
    n         bigint NOT NULL CHECK (n > 0),
    last      timestamptz NOT NULL
);
CREATE INDEX delivery_counts_by_quarter ON delivery_counts (quarter);
COMMENT ON TABLE delivery_counts IS 'deliveries of a quarter of an hour; read delivery_figures() instead';
COMMENT ON COLUMN delivery_counts.processed IS 'the quarter in which they were done';
COMMENT ON COLUMN delivery_counts.class IS 'n where they took e^(n/4) to e^((n+1)/4) seconds from arrival to done';
COMMENT ON COLUMN delivery_counts.last IS 'when the last of them came';

CREATE TABLE delivery_changes (quarter timestamptz NOT NULL);
CREATE INDEX delivery_changes_by_quarter ON delivery_changes (quarter);

CREATE FUNCTION quarter_of(at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('15 minutes', at, '2000-01-01 00:00:00+00');

CREATE FUNCTION count_quarter(quarter timestamptz)
RETURNS TABLE (source text, state text, processed timestamptz, class integer, n bigint, last timestamptz)
LANGUAGE sql STABLE AS $$
SELECT d.source, d.state, quarter_of(d.processed_at),
       CASE WHEN d.processed_at IS NOT NULL
            THEN floor(4 * ln(GREATEST(date_part('epoch', d.processed_at - d.received_at), 0.001)))::integer END,
       count(*), max(d.received_at)
  FROM deliveries d
 WHERE d.received_at >= count_quarter.quarter AND d.received_at < count_quarter.quarter + interval '15 minutes'
 GROUP BY 1, 2, 3, 4
$$;

CREATE FUNCTION delivery_figures(since timestamptz)
RETURNS TABLE (quarter timestamptz, source text, state text, processed timestamptz, class integer, n bigint,
               last timestamptz)
LANGUAGE sql STABLE AS $$
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

CREATE FUNCTION count_deliveries(most integer DEFAULT 50) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE FUNCTION say_delivery_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_changes VALUES (quarter_of(CASE TG_OP WHEN 'INSERT' THEN NEW.received_at ELSE OLD.received_at END));
    RETURN NULL;
END $$;

-- Ten minutes, where quarters are counted from fifteen on: a transaction that is not over by then has timed out.
CREATE TRIGGER count_again_added AFTER INSERT ON deliveries FOR EACH ROW
    WHEN (NEW.received_at < now() - interval '10 minutes') EXECUTE FUNCTION say_delivery_changed();
CREATE TRIGGER count_again_changed AFTER UPDATE OF state, processed_at ON deliveries FOR EACH ROW
    WHEN (OLD.received_at < now() - interval '10 minutes') EXECUTE FUNCTION say_delivery_changed();
CREATE TRIGGER count_again_removed AFTER DELETE ON deliveries FOR EACH ROW
    WHEN (OLD.received_at < now() - interval '10 minutes') EXECUTE FUNCTION say_delivery_changed();

-- Whatever the list is filtered by is found without a walk past what does not fit.
CREATE INDEX deliveries_by_source ON deliveries (source, received_at DESC, id DESC) INCLUDE (state);
CREATE INDEX deliveries_by_error ON deliveries (error_code, received_at DESC, id DESC) WHERE error_code IS NOT NULL;
DROP INDEX deliveries_failed;
CREATE INDEX deliveries_not_done ON deliveries (state, received_at DESC, id DESC) INCLUDE (source)
    WHERE state <> 'processed';
