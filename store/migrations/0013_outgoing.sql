-- Who is told outside of what happens to tasks and memories, what was sent there, and what exported tasks are there.
-- Secrets and tokens are settings (AI_WEBHOOK_OUT_SECRET_<NAME>): neither this database nor its backups hold one, and
-- a copy of it elsewhere tells nobody anything.

CREATE TABLE subscriptions (
    name          text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_-]{0,63}$'),
    kind          text NOT NULL CHECK (kind IN ('webhook', 'github', 'slack', 'linear')),
    target        text NOT NULL,
    events        text[] NOT NULL,
    agent_name    text,
    memory_types  text[],
    details       boolean NOT NULL DEFAULT false,
    enabled       boolean NOT NULL DEFAULT true,
    disabled_why  text,
    position      text NOT NULL CHECK (position ~ '^\d{1,18}-\d{1,18}$'),
    resting_until timestamptz,
    created       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT what_is_enabled_is_not_disabled CHECK (NOT enabled OR disabled_why IS NULL)
);
COMMENT ON COLUMN subscriptions.target IS 'a URL, owner/repo of GitHub, a channel of Slack or the id of a team of Linear';
COMMENT ON COLUMN subscriptions.agent_name IS 'only events of tasks of this agent; NULL: of all';
COMMENT ON COLUMN subscriptions.memory_types IS 'only events of memories of these types; NULL: of all';
COMMENT ON COLUMN subscriptions.details IS 'whether what people said goes out with an event, beyond its title';
COMMENT ON COLUMN subscriptions.position IS 'how far the stream of events was read for it';
COMMENT ON COLUMN subscriptions.resting_until IS 'nothing is sent there before, since it did not answer or asked for a pause';

-- No bodies: they are made when they are sent, from the event and today's row.
CREATE TABLE outgoing (
    id              text PRIMARY KEY DEFAULT 'msg_' || replace(gen_random_uuid()::text, '-', ''),
    number          bigint GENERATED ALWAYS AS IDENTITY,
    subscription    text NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    event_id        bigint,
    event           text NOT NULL,
    subject         text NOT NULL,
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed', 'skipped')),
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    waiting_since   timestamptz NOT NULL DEFAULT now(),
    status_code     integer,
    error_code      text,
    delivered_at    timestamptz,
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (subscription, event_id),
    CONSTRAINT what_is_delivered_has_its_time CHECK ((state = 'delivered') = (delivered_at IS NOT NULL)),
    CONSTRAINT what_failed_says_why CHECK (state NOT IN ('failed', 'skipped') OR error_code IS NOT NULL)
);
COMMENT ON COLUMN outgoing.id IS 'the webhook-id, the same over all tries, by which receivers drop repeats';
COMMENT ON COLUMN outgoing.event_id IS 'task_events.id or memory_events.id; NULL for an export that somebody asked for';
COMMENT ON COLUMN outgoing.next_attempt_at IS 'while somebody is sending it: when another may';
CREATE INDEX outgoing_due ON outgoing (subscription, next_attempt_at, number) WHERE state = 'waiting';
CREATE INDEX outgoing_waiting ON outgoing (subscription, subject, number) WHERE state = 'waiting';
CREATE INDEX outgoing_by_subscription ON outgoing (subscription, number DESC);
CREATE INDEX outgoing_failed ON outgoing (subscription) WHERE state = 'failed';
CREATE INDEX outgoing_done ON outgoing (created) WHERE state IN ('delivered', 'skipped');

CREATE TABLE exports (
    task_id             text NOT NULL REFERENCES tasks ON DELETE CASCADE,
    subscription        text NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
    external_id         text,
    url                 text,
    state               text CHECK (state IN ('open', 'failed', 'completed', 'not_planned')),
    external_updated_at timestamptz,
    created             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, subscription),
    UNIQUE (subscription, external_id),
    CONSTRAINT what_is_there_has_its_address CHECK (num_nulls(external_id, url, state) IN (0, 3))
);
COMMENT ON TABLE exports IS 'tasks that are followed elsewhere; without external_id: still to be made there';
COMMENT ON COLUMN exports.external_updated_at IS 'by the clock of that place: what it tells of an earlier time is stale';
CREATE INDEX exports_by_external ON exports (external_id) WHERE external_id IS NOT NULL;
CREATE INDEX exports_by_subscription ON exports (subscription);

CREATE OR REPLACE FUNCTION settle_events() RETURNS void LANGUAGE plpgsql AS $$
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
