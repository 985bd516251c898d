-- Parts of a talk from which nothing could be extracted yet, and what a language model has answered.

CREATE TABLE extraction_gaps (
    delivery text NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    extractor text NOT NULL CHECK (extractor IN ('rules', 'model', 'llm')),
    piece text NOT NULL CHECK (piece <> ''),
    turns jsonb NOT NULL CHECK (jsonb_typeof(turns) = 'array'),
    error_code text,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (delivery, extractor, piece)
);
COMMENT ON TABLE extraction_gaps IS 'pieces of talks whose extraction failed, or waits for a language model; each is tried again alone';
COMMENT ON COLUMN extraction_gaps.piece IS 'a digest of the extractor and of what was said';
COMMENT ON COLUMN extraction_gaps.next_attempt_at IS 'infinity: given up';
CREATE INDEX extraction_gaps_due ON extraction_gaps (next_attempt_at) WHERE next_attempt_at < 'infinity';

CREATE TABLE llm_answers (
    piece text PRIMARY KEY CHECK (piece <> ''),
    model text NOT NULL,
    items jsonb CHECK (jsonb_typeof(items) = 'array'),
    tokens_in bigint NOT NULL CHECK (tokens_in >= 0),
    tokens_out bigint NOT NULL CHECK (tokens_out >= 0),
    cost double precision NOT NULL CHECK (cost >= 0),
    asked timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE llm_answers IS 'one row a piece of a talk: what was asked is asked once; the tokens are reserved before and set right after';
COMMENT ON COLUMN llm_answers.items IS 'NULL: asked, not answered (yet)';
CREATE INDEX llm_answers_by_time ON llm_answers (asked);
