-- The tables that people and database tools query. Their names and columns are a public interface.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE sessions (
    id                       text PRIMARY KEY CHECK (id <> '' AND length(id) <= 200),
    title                    text,
    participants             jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(participants) = 'array'),
    context                  text,
    status                   text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'completed')),
    created                  timestamptz NOT NULL DEFAULT now(),
    last_activity            timestamptz NOT NULL DEFAULT now(),
    completed_at             timestamptz,
    conversation_chunk_count integer NOT NULL DEFAULT 0 CHECK (conversation_chunk_count >= 0),
    memory_count             integer NOT NULL DEFAULT 0 CHECK (memory_count >= 0),
    task_count               integer NOT NULL DEFAULT 0 CHECK (task_count >= 0),
    artifact_count           integer NOT NULL DEFAULT 0 CHECK (artifact_count >= 0),
    metadata                 jsonb NOT NULL DEFAULT '{}',
    CHECK ((status = 'completed') = (completed_at IS NOT NULL))
);
CREATE INDEX sessions_by_activity ON sessions (last_activity DESC, id);

-- The raw record of what was accepted. From the moment a row is here, Redis may be lost.
CREATE TABLE deliveries (
    id              text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{32}$'),
    source          text NOT NULL,
    delivery_id     text NOT NULL,
    event           text NOT NULL,
    received_at     timestamptz NOT NULL,
    content_type    text NOT NULL,
    body            bytea NOT NULL,
    session_id      text,
    state           text NOT NULL DEFAULT 'received'
                    CHECK (state IN ('received', 'processed', 'ignored', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    error_code      text,
    error           text,
    processed_at    timestamptz,
    UNIQUE (source, delivery_id),
    CHECK ((state IN ('processed', 'ignored')) = (processed_at IS NOT NULL)),
    CHECK (state <> 'failed' OR (error IS NOT NULL AND error_code IS NOT NULL))
);
COMMENT ON COLUMN deliveries.id IS '32 hex digits of sha256(source, newline, delivery_id)';
COMMENT ON COLUMN deliveries.body IS 'the request body byte for byte; convert_from(body, ''UTF8'') reads it';
CREATE INDEX deliveries_unfinished ON deliveries (next_attempt_at) WHERE state = 'received';
CREATE INDEX deliveries_by_arrival ON deliveries (received_at DESC, id);
CREATE INDEX deliveries_by_session ON deliveries (session_id) WHERE session_id IS NOT NULL;

CREATE TABLE turns (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id    text NOT NULL REFERENCES sessions ON DELETE CASCADE,
    seq           integer NOT NULL CHECK (seq >= 1),
    speaker       text NOT NULL DEFAULT '',
    role          text NOT NULL DEFAULT 'other' CHECK (role IN ('user', 'assistant', 'other', 'summary')),
    text          text NOT NULL CHECK (text <> ''),
    start_seconds double precision,
    end_seconds   double precision,
    start_time    timestamptz,
    end_time      timestamptz,
    delivery      text REFERENCES deliveries ON DELETE SET NULL,
    created       timestamptz NOT NULL DEFAULT now(),
    -- Deferrable, so that a late delivery can be put where it was said by moving the later turns in one statement.
    UNIQUE (session_id, seq) DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN turns.start_seconds IS 'seconds from the start of the conversation';
CREATE INDEX turns_by_delivery ON turns (delivery) WHERE delivery IS NOT NULL;
CREATE INDEX turns_words ON turns USING gin (to_tsvector('english', text));

CREATE TABLE conversation_chunks (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id      text NOT NULL REFERENCES sessions ON DELETE CASCADE,
    chunk_id        text NOT NULL,
    content         text NOT NULL,
    format          text NOT NULL DEFAULT 'dialogue' CHECK (format IN ('dialogue', 'summary', 'transcript')),
    start_time      timestamptz,
    end_time        timestamptz,
    participants    jsonb NOT NULL DEFAULT '[]',
    extracted_items jsonb NOT NULL DEFAULT '{}',
    metadata        jsonb NOT NULL DEFAULT '{}',
    first_turn      bigint REFERENCES turns ON DELETE CASCADE,
    last_turn       bigint REFERENCES turns ON DELETE CASCADE,
    delivery        text REFERENCES deliveries ON DELETE SET NULL,
    created         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (session_id, chunk_id),
    CHECK ((first_turn IS NULL) = (last_turn IS NULL))
);
COMMENT ON COLUMN conversation_chunks.first_turn IS 'turns.id of the first turn in the chunk';
CREATE INDEX conversation_chunks_words ON conversation_chunks USING gin (to_tsvector('english', content));
CREATE INDEX conversation_chunks_first_turn ON conversation_chunks (first_turn);
CREATE INDEX conversation_chunks_last_turn ON conversation_chunks (last_turn);
CREATE INDEX conversation_chunks_by_delivery ON conversation_chunks (delivery) WHERE delivery IS NOT NULL;

CREATE TABLE memories (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id    text NOT NULL REFERENCES sessions ON DELETE CASCADE,
    type          text NOT NULL CHECK (type IN ('idea', 'decision', 'question', 'action_item', 'fact', 'note',
                                                'preference', 'context', 'risk')),
    key           text NOT NULL CHECK (key <> ''),
    title         text NOT NULL DEFAULT '',
    content       jsonb NOT NULL,
    tags          text[] NOT NULL DEFAULT '{}',
    confidence    real NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    extractor     text NOT NULL DEFAULT 'person',
    speaker       text,
    turn          bigint REFERENCES turns ON DELETE SET NULL,
    char_start    integer,
    char_end      integer,
    quote         text,
    review        text NOT NULL DEFAULT 'proposed' CHECK (review IN ('proposed', 'accepted', 'rejected', 'edited')),
    superseded_by bigint REFERENCES memories ON DELETE SET NULL,
    delivery      text REFERENCES deliveries ON DELETE SET NULL,
    created       timestamptz NOT NULL DEFAULT now(),
    updated       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (session_id, key),
    CHECK (superseded_by <> id),
    CHECK (num_nonnulls(char_start, char_end, quote) IN (0, 3)),
    CHECK (quote IS NULL OR char_end - char_start = length(quote))
);
COMMENT ON COLUMN memories.char_start IS 'where the quote begins in turns.text, counted in characters from 0';
CREATE INDEX memories_words ON memories USING gin (to_tsvector('english', content::text));
CREATE INDEX memories_by_type ON memories (type, created DESC, id);
CREATE INDEX memories_by_tags ON memories USING gin (tags);
CREATE INDEX memories_by_turn ON memories (turn) WHERE turn IS NOT NULL;
CREATE INDEX memories_superseded_by ON memories (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX memories_by_delivery ON memories (delivery) WHERE delivery IS NOT NULL;

CREATE TABLE agents (
    name           text PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
    type           text NOT NULL DEFAULT 'cli',
    command        text,
    max_concurrent integer DEFAULT 4 CHECK (max_concurrent BETWEEN 0 AND 1000),
    capabilities   jsonb NOT NULL DEFAULT '[]',
    status         text NOT NULL DEFAULT 'available' CHECK (status IN ('available', 'busy', 'offline', 'error')),
    current_tasks  integer NOT NULL DEFAULT 0 CHECK (current_tasks >= 0),
    last_heartbeat timestamptz,
    metadata       jsonb NOT NULL DEFAULT '{}',
    created        timestamptz NOT NULL DEFAULT now(),
    updated        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN agents.max_concurrent IS 'tasks it may hold at a time; NULL is no limit';
COMMENT ON COLUMN agents.status IS 'as of the last sweep; the view agent_overview derives it afresh';
INSERT INTO agents (name, type, command, capabilities) VALUES
    ('claude_code', 'cli', 'claude', '["code", "test", "docs", "review", "refactor"]'),
    ('codex',       'cli', 'codex',  '["code", "test", "refactor"]'),
    ('gemini_cli',  'cli', 'gemini', '["code", "research", "docs"]'),
    ('researcher',  'cli', NULL,     '["research", "summary"]');

CREATE TABLE tasks (
    id              text PRIMARY KEY DEFAULT 'task_' || left(replace(gen_random_uuid()::text, '-', ''), 12)
                    CHECK (id <> '' AND length(id) <= 200),
    session_id      text REFERENCES sessions ON DELETE CASCADE,
    agent_name      text REFERENCES agents ON UPDATE CASCADE,
    capabilities    jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(capabilities) = 'array'),
    task_type       text NOT NULL DEFAULT 'general',
    title           text NOT NULL DEFAULT '',
    status          text NOT NULL DEFAULT 'pending'
                    CHECK (status IN ('proposed', 'pending', 'claimed', 'running', 'needs_input',
                                      'completed', 'failed', 'cancelled')),
    priority        integer NOT NULL DEFAULT 50,
    input_data      jsonb NOT NULL DEFAULT '{}',
    process_id      integer,
    claimed_by      text,
    claimed_at      timestamptz,
    started         timestamptz,
    completed       timestamptz,
    output_data     jsonb,
    artifacts       text[] NOT NULL DEFAULT '{}',
    error_message   text,
    claim_token     uuid,
    lease_until     timestamptz,
    last_token      uuid,
    slot            integer,
    attempts        integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts    integer NOT NULL DEFAULT 3 CHECK (max_attempts >= 1),
    not_before      timestamptz,
    depends_on      text[] NOT NULL DEFAULT '{}' CHECK (id <> ALL (depends_on)),
    waiting_for     integer NOT NULL DEFAULT 0 CHECK (waiting_for >= 0),
    acceptance      jsonb CHECK (jsonb_typeof(acceptance) = 'object'),
    question        text,
    progress        real CHECK (progress BETWEEN 0 AND 1),
    progress_note   text,
    progressed_at   timestamptz,
    memory          bigint REFERENCES memories ON DELETE SET NULL,
    delivery        text REFERENCES deliveries ON DELETE SET NULL,
    created         timestamptz NOT NULL DEFAULT now(),
    updated         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_task_is_for_an_agent_or_a_capability CHECK (agent_name IS NOT NULL OR capabilities <> '[]'),
    CONSTRAINT only_a_held_task_has_a_slot CHECK (slot IS NULL OR status IN ('claimed', 'running')),
    -- A state and its columns imply one another in both directions.
    CONSTRAINT a_held_task_has_a_token CHECK ((status IN ('claimed', 'running')) = (claim_token IS NOT NULL)),
    CONSTRAINT a_held_task_has_a_lease CHECK ((status IN ('claimed', 'running')) = (lease_until IS NOT NULL)),
    CONSTRAINT a_held_task_has_a_holder
        CHECK (status NOT IN ('claimed', 'running') OR num_nulls(claimed_by, claimed_at) = 0),
    CONSTRAINT a_running_task_has_started CHECK (status <> 'running' OR started IS NOT NULL),
    CONSTRAINT an_ended_task_has_its_time
        CHECK ((status IN ('completed', 'failed', 'cancelled')) = (completed IS NOT NULL)),
    CONSTRAINT an_asking_task_has_its_question CHECK ((status = 'needs_input') = (question IS NOT NULL))
);
COMMENT ON COLUMN tasks.priority IS 'higher is claimed first; 50 is ordinary';
COMMENT ON COLUMN tasks.completed IS 'when the task ended: completed, failed or cancelled';
COMMENT ON COLUMN tasks.attempts IS 'tries that ended without success';
COMMENT ON COLUMN tasks.waiting_for IS 'how many of depends_on are not completed; kept by a trigger';
COMMENT ON COLUMN tasks.not_before IS 'not claimable until then; the first look after it sets it to NULL';
COMMENT ON COLUMN tasks.last_token IS 'the token of the last claim, by which its holder may ask how it ended';
COMMENT ON COLUMN tasks.slot IS 'which of the agent''s max_concurrent places the claim takes';
COMMENT ON COLUMN tasks.acceptance IS
    'what a completion has to bring: {"artifact_types": ["report"], "exit_code": 0, "output_matches": "regular expression"}';
-- Every move of a task writes a new row version with an entry in each index that is not partial: these are few on
-- purpose, and none is over text.
CREATE INDEX tasks_claimable ON tasks (agent_name, priority DESC, created, id)
    WHERE status = 'pending' AND waiting_for = 0 AND not_before IS NULL;
CREATE INDEX tasks_scheduled ON tasks (not_before) WHERE status = 'pending' AND not_before IS NOT NULL;
CREATE INDEX tasks_leases ON tasks (lease_until) WHERE status IN ('claimed', 'running');
CREATE UNIQUE INDEX tasks_slots ON tasks (agent_name, slot) WHERE slot IS NOT NULL;
CREATE INDEX tasks_dependents ON tasks USING gin (depends_on) WHERE waiting_for > 0;
CREATE INDEX tasks_by_session ON tasks (session_id);
CREATE INDEX tasks_by_creation ON tasks (created DESC, id DESC);
CREATE INDEX tasks_by_memory ON tasks (memory) WHERE memory IS NOT NULL;
CREATE INDEX tasks_by_delivery ON tasks (delivery) WHERE delivery IS NOT NULL;

-- The words of a task, beside it, so that a claim does not have to index them again.
CREATE TABLE task_words (
    task_id text PRIMARY KEY REFERENCES tasks ON UPDATE CASCADE ON DELETE CASCADE,
    words   tsvector NOT NULL
);
CREATE INDEX task_words_words ON task_words USING gin (words);

-- Every move of every task: who, when, from, to, why. Rows are added and never changed.
CREATE TABLE task_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id     text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    from_status text,
    to_status   text NOT NULL,
    attempts    integer NOT NULL,
    reason      text
);
CREATE INDEX task_events_by_task ON task_events (task_id, id);

-- convert_to() is only STABLE, since a conversion could be replaced; to UTF-8 from a UTF-8 database it is fixed.
CREATE FUNCTION convert_to_utf8(content text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT convert_to(content, 'UTF8') $$;

CREATE TABLE artifacts (
    id         text PRIMARY KEY DEFAULT 'artifact_' || left(replace(gen_random_uuid()::text, '-', ''), 12)
               CHECK (id <> '' AND length(id) <= 200),
    session_id text REFERENCES sessions ON DELETE CASCADE,
    task_id    text REFERENCES tasks ON DELETE SET NULL,
    type       text NOT NULL DEFAULT 'document',
    name       text NOT NULL,
    content    text NOT NULL,
    format     text NOT NULL DEFAULT 'text',
    metadata   jsonb NOT NULL DEFAULT '{}',
    created    timestamptz NOT NULL DEFAULT now(),
    sha256     text NOT NULL GENERATED ALWAYS AS (encode(sha256(convert_to_utf8(content)), 'hex')) STORED,
    size       integer NOT NULL GENERATED ALWAYS AS (octet_length(content)) STORED,
    delivery   text REFERENCES deliveries ON DELETE SET NULL
);
COMMENT ON COLUMN artifacts.size IS 'bytes of the content in UTF-8';
CREATE INDEX artifacts_by_session ON artifacts (session_id, created DESC);
CREATE INDEX artifacts_by_task ON artifacts (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX artifacts_by_delivery ON artifacts (delivery) WHERE delivery IS NOT NULL;
CREATE INDEX artifacts_words ON artifacts USING gin (to_tsvector('english', content));

CREATE VIEW active_sessions AS
SELECT id, title, participants, context, status, created, last_activity,
       conversation_chunk_count, memory_count, task_count, artifact_count,
       (SELECT count(*) FROM tasks t
         WHERE t.session_id = s.id AND t.status NOT IN ('completed', 'failed', 'cancelled')) AS active_tasks
  FROM sessions s
 WHERE status = 'active'
 ORDER BY last_activity DESC;

CREATE VIEW task_queue AS
SELECT t.id, t.title, t.agent_name, t.task_type, t.status, t.priority, t.session_id, s.title AS session_title,
       t.claimed_by, t.lease_until, t.attempts, t.max_attempts, t.not_before, t.depends_on, t.question,
       t.input_data, t.created, t.updated, t.capabilities, t.progress, t.progress_note,
       CASE WHEN t.status IN ('claimed', 'running')
            THEN clock_timestamp() - COALESCE(t.progressed_at, t.claimed_at) END AS without_progress_for,
       CASE WHEN t.waiting_for > 0
            THEN ARRAY(SELECT d.id FROM tasks d WHERE d.id = ANY (t.depends_on) AND d.status <> 'completed') END AS blocked_by,
       t.waiting_for > 0 AND EXISTS (SELECT FROM tasks d WHERE d.id = ANY (t.depends_on)
                                        AND d.status IN ('failed', 'cancelled')) AS blocked_for_good
  FROM tasks t LEFT JOIN sessions s ON s.id = t.session_id
 WHERE t.status NOT IN ('completed', 'failed', 'cancelled')
 ORDER BY t.priority DESC, t.created, t.id;

CREATE VIEW agent_overview AS
SELECT a.name, a.type, a.command, a.max_concurrent, a.capabilities, a.last_heartbeat, a.metadata, a.created, a.updated,
       CASE WHEN a.status = 'error' THEN 'error'
            WHEN a.type = 'unknown' OR a.status = 'offline' OR a.last_heartbeat < clock_timestamp() - interval '2 minutes'
                 THEN 'offline'
            WHEN h.held >= a.max_concurrent THEN 'busy'
            ELSE 'available' END AS status,
       h.held AS current_tasks
  FROM agents a, LATERAL (SELECT count(*)::integer AS held FROM tasks t
                           WHERE t.agent_name = a.name AND t.status IN ('claimed', 'running')) AS h;
