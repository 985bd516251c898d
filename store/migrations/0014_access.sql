-- Who may do what, requests that may be repeated, and artifacts that are no text.

CREATE FUNCTION are_scopes(scopes text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(scopes) > 0 AND bool_and(s IN ('read', 'write', 'claim', 'review', 'admin') OR s ~ '^claim:.{1,100}$')
      FROM unnest(scopes) AS s
$$;

CREATE TABLE tokens (
    id         text PRIMARY KEY DEFAULT 'token_' || left(replace(gen_random_uuid()::text, '-', ''), 12),
    name       text NOT NULL CHECK (name <> '' AND length(name) <= 100),
    hash       bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes     text[] NOT NULL CHECK (are_scopes(scopes)),
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used  timestamptz
);
COMMENT ON COLUMN tokens.hash IS 'sha256 of the token, which has 256 random bits and is stored nowhere';
COMMENT ON COLUMN tokens.scopes IS 'read, write, review, admin, claim (as any agent), claim:AGENT';
COMMENT ON COLUMN tokens.last_used IS 'to the minute';
CREATE UNIQUE INDEX tokens_by_name ON tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE repeatable_requests (
    caller  text NOT NULL,
    key     text NOT NULL CHECK (key <> '' AND length(key) <= 200),
    digest  bytea NOT NULL,
    answer  jsonb,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (caller, key)
);
COMMENT ON TABLE repeatable_requests IS 'creations with an Idempotency-Key, each with its answer, for a day';
CREATE INDEX repeatable_requests_by_age ON repeatable_requests (created);

-- An artifact is text, which is searched, or bytes.
ALTER TABLE artifacts ADD COLUMN bytes bytea,
    ADD CONSTRAINT an_artifact_is_text_or_bytes CHECK (bytes IS NULL OR content = '');
ALTER TABLE artifacts DROP COLUMN sha256, DROP COLUMN size;
ALTER TABLE artifacts
    ADD COLUMN sha256 text NOT NULL
        GENERATED ALWAYS AS (encode(sha256(COALESCE(bytes, convert_to_utf8(content))), 'hex')) STORED,
    ADD COLUMN size integer NOT NULL GENERATED ALWAYS AS (octet_length(COALESCE(bytes, convert_to_utf8(content)))) STORED;
COMMENT ON COLUMN artifacts.size IS 'bytes; of the content in UTF-8, if it is text';

CREATE FUNCTION finish_task(task_id text, person text, output_data jsonb DEFAULT NULL, artifacts text[] DEFAULT '{}')
RETURNS tasks LANGUAGE plpgsql AS $$
-- A person says that a task is done which nobody holds: it was done by hand. The acceptance rule holds for people, too.
#variable_conflict use_column
DECLARE
    task  tasks;
    unmet text;
    said  text;
BEGIN
    IF octet_length(output_data::text) > 1048576 THEN
        RAISE EXCEPTION 'The output is longer than 1 MiB; leave it as an artifact.' USING ERRCODE = 'AW006';
    END IF;
    SELECT unmet_acceptance(t.acceptance, finish_task.output_data, finish_task.artifacts) INTO unmet
      FROM tasks t WHERE t.id = task_id;
    IF unmet IS NOT NULL THEN
        RAISE EXCEPTION 'Task % cannot be completed like this: %.', task_id, unmet USING ERRCODE = 'AW007';
    END IF;
    said := say_actor(person, 'done by hand');
    UPDATE tasks t SET status = 'completed', output_data = finish_task.output_data,
           artifacts = COALESCE(finish_task.artifacts, '{}'), error_message = NULL
     WHERE t.id = task_id AND t.status IN ('proposed', 'pending', 'needs_input')
    RETURNING t.* INTO task;
    said := say_actor(NULL);
    IF task.id IS NULL THEN
        PERFORM refuse_move(task_id, NULL, 'finished by hand');
    END IF;
    RETURN task;
END $$;
