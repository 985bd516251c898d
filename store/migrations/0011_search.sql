-- Search: BM25 in SQL over turns, chunks, memories, tasks and artifacts, with the words of what was said around.
--
--     words_of          text to lexemes, in the language of its session                     generated columns
--     search_words      how many chunks hold each word; kept by triggers on chunks
--     search_terms      a question to weighted words: its own, their other forms, near spellings
--     bm25              the score of one text
--     rank_turns, rank_chunks, rank_memories, rank_tasks, rank_artifacts                    a list of each kind
--     with_meaning      a list of turns or chunks, by vectors, too, where there are some
--     search            one list over all kinds

-- Languages

CREATE FUNCTION words_of(language text, body text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
-- The dictionaries that PostgreSQL comes with do not change, so that this may be called immutable.
BEGIN
    RETURN to_tsvector(('pg_catalog.' || language)::regconfig, body);
END $$;

CREATE FUNCTION is_language(name text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
-- Those that PostgreSQL 15 has built in, and `simple` for all others.
    SELECT name IN ('simple', 'arabic', 'armenian', 'basque', 'catalan', 'danish', 'dutch', 'english', 'finnish', 'french',
        'german', 'greek', 'hindi', 'hungarian', 'indonesian', 'irish', 'italian', 'lithuanian', 'nepali', 'norwegian',
        'portuguese', 'romanian', 'russian', 'serbian', 'spanish', 'swedish', 'tamil', 'turkish', 'yiddish')
$$;

ALTER TABLE sessions ADD COLUMN language text NOT NULL DEFAULT 'english' CHECK (is_language(language));
CREATE INDEX sessions_by_language ON sessions (language);
COMMENT ON COLUMN sessions.language IS 'the text search configuration for what is said in it; simple for languages that have none';

ALTER TABLE turns
    ADD COLUMN caption text CHECK (caption <> ''),
    ADD COLUMN language text NOT NULL DEFAULT 'english';
ALTER TABLE turns ADD COLUMN lexemes tsvector NOT NULL
    GENERATED ALWAYS AS (words_of(language, text || COALESCE(' ' || caption, ''))) STORED;
COMMENT ON COLUMN turns.caption IS 'of a picture that came with the turn';
ALTER TABLE conversation_chunks ADD COLUMN language text NOT NULL DEFAULT 'english';
ALTER TABLE conversation_chunks ADD COLUMN lexemes tsvector NOT NULL
    GENERATED ALWAYS AS (words_of(language, content)) STORED;
ALTER TABLE memories ADD COLUMN language text NOT NULL DEFAULT 'english';
ALTER TABLE memories ADD COLUMN lexemes tsvector NOT NULL
    GENERATED ALWAYS AS (words_of(language, title || ' ' || COALESCE(speaker, '') || ' ' || content::text)) STORED;
ALTER TABLE artifacts ADD COLUMN language text NOT NULL DEFAULT 'english';
ALTER TABLE artifacts ADD COLUMN lexemes tsvector NOT NULL
    GENERATED ALWAYS AS (words_of(language, name || ' ' || content)) STORED;

DROP INDEX turns_words, artifacts_words;  -- only the search before this one asked by them
-- A chunk's lexemes stay beside it, uncompressed: search reads them all.
ALTER TABLE conversation_chunks SET (toast_tuple_target = 6000);
ALTER TABLE turns ALTER COLUMN language DROP DEFAULT;
ALTER TABLE conversation_chunks ALTER COLUMN language DROP DEFAULT;
ALTER TABLE memories ALTER COLUMN language DROP DEFAULT;
ALTER TABLE artifacts ALTER COLUMN language DROP DEFAULT;
CREATE INDEX turns_lexemes ON turns USING gin (lexemes);
CREATE INDEX conversation_chunks_lexemes ON conversation_chunks USING gin (lexemes);
CREATE INDEX memories_lexemes ON memories USING gin (lexemes);
CREATE INDEX artifacts_lexemes ON artifacts USING gin (lexemes);

CREATE FUNCTION take_language() RETURNS trigger LANGUAGE plpgsql AS $$
-- What is written is in the language of its session.
BEGIN
    NEW.language := COALESCE((SELECT s.language FROM sessions s WHERE s.id = NEW.session_id), 'english');
    RETURN NEW;
END $$;
CREATE TRIGGER take_language BEFORE INSERT ON turns
    FOR EACH ROW WHEN (NEW.language IS NULL) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON turns
    FOR EACH ROW WHEN (OLD.session_id IS DISTINCT FROM NEW.session_id) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language BEFORE INSERT ON conversation_chunks
    FOR EACH ROW WHEN (NEW.language IS NULL) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON conversation_chunks
    FOR EACH ROW WHEN (OLD.session_id IS DISTINCT FROM NEW.session_id) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language BEFORE INSERT ON memories
    FOR EACH ROW WHEN (NEW.language IS NULL) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON memories
    FOR EACH ROW WHEN (OLD.session_id IS DISTINCT FROM NEW.session_id) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language BEFORE INSERT ON artifacts
    FOR EACH ROW WHEN (NEW.language IS NULL) EXECUTE FUNCTION take_language();
CREATE TRIGGER take_language_moved BEFORE UPDATE OF session_id ON artifacts
    FOR EACH ROW WHEN (OLD.session_id IS DISTINCT FROM NEW.session_id) EXECUTE FUNCTION take_language();

CREATE FUNCTION follow_language() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE turns SET language = NEW.language WHERE session_id = NEW.id;
    UPDATE conversation_chunks SET language = NEW.language WHERE session_id = NEW.id;
    UPDATE memories SET language = NEW.language WHERE session_id = NEW.id;
    UPDATE artifacts SET language = NEW.language WHERE session_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER follow_language AFTER UPDATE OF language ON sessions
    FOR EACH ROW WHEN (OLD.language <> NEW.language) EXECUTE FUNCTION follow_language();

-- How often words are said

CREATE TABLE search_words (
    word text COLLATE "C" PRIMARY KEY,
    chunks bigint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX search_words_alike ON search_words USING gin (word gin_trgm_ops);
COMMENT ON TABLE search_words IS 'how many chunks hold each word, but for search_changes; the row of the empty word counts all chunks';

CREATE TABLE search_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    words text[] NOT NULL,
    counts integer[] NOT NULL CHECK (cardinality(counts) = cardinality(words))
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE search_changes IS 'what statements changed in search_words and is not added up yet: a word that all say is one row, which writers would wait for';

CREATE VIEW search_statistics AS
    SELECT w.word, sum(w.chunks)::bigint AS chunks
      FROM (SELECT word, chunks FROM search_words
             UNION ALL SELECT u.word, u.n FROM search_changes c, unnest(c.words, c.counts) AS u (word, n)) AS w
     GROUP BY w.word HAVING sum(w.chunks) <> 0;
COMMENT ON VIEW search_statistics IS 'how many chunks hold each word; of the empty word, how many there are';

CREATE FUNCTION fold_search_changes() RETURNS void LANGUAGE plpgsql AS $$
-- Adds up what was committed. One at a time; who comes second leaves it to the first.
BEGIN
    IF pg_try_advisory_xact_lock(4827035) THEN
        WITH taken AS (
            DELETE FROM search_changes WHERE id IN (SELECT id FROM search_changes ORDER BY id LIMIT 1000)
            RETURNING words, counts
        )
        INSERT INTO search_words AS w (word, chunks)
        SELECT u.word, sum(u.n) FROM taken t, unnest(t.words, t.counts) AS u (word, n) GROUP BY u.word ORDER BY u.word
        ON CONFLICT (word) DO UPDATE SET chunks = w.chunks + EXCLUDED.chunks;
    END IF;
END $$;

CREATE FUNCTION count_words() RETURNS trigger LANGUAGE plpgsql AS $$
-- Notes what a statement on chunks changed, and adds up when that is much, or sixteen statements have, or there is little.
DECLARE
    sign   integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
    told   text[];
    counts integer[];
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM search_words;
        DELETE FROM search_changes;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(c.word), array_agg(c.n) INTO told, counts FROM (
            SELECT b.word, sum(b.n) AS n
              FROM (SELECT unnest(tsvector_to_array(r.lexemes)) AS word, 1 AS n FROM changed_rows r
                     UNION ALL SELECT unnest(tsvector_to_array(r.lexemes)), -1 FROM old_rows r) AS b
             GROUP BY b.word HAVING sum(b.n) <> 0) AS c;
    ELSE
        SELECT array_agg(c.word), array_agg(c.n) INTO told, counts FROM (
            SELECT word, sign * count(*) AS n
              FROM changed_rows r, unnest(tsvector_to_array(r.lexemes) || ARRAY['']) AS word GROUP BY word) AS c;
    END IF;
    IF told IS NOT NULL THEN
        INSERT INTO search_changes (words, counts) VALUES (told, counts);
        IF cardinality(told) > 2000 OR (SELECT count(*) FROM (SELECT FROM search_changes LIMIT 16) AS c) = 16
           OR NOT EXISTS (SELECT FROM search_words WHERE word = '' AND chunks > 1000) THEN
            PERFORM fold_search_changes();
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_words_inserted AFTER INSERT ON conversation_chunks REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_words();
CREATE TRIGGER count_words_deleted AFTER DELETE ON conversation_chunks REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_words();
CREATE TRIGGER count_words_updated AFTER UPDATE ON conversation_chunks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_words();
CREATE TRIGGER count_words_truncated AFTER TRUNCATE ON conversation_chunks FOR EACH STATEMENT EXECUTE FUNCTION count_words();

CREATE FUNCTION recount_search_words() RETURNS void LANGUAGE plpgsql AS $$
-- Counts afresh: after data was loaded in a way that fires triggers on what was counted already.
BEGIN
    LOCK TABLE conversation_chunks IN SHARE MODE;
    PERFORM pg_advisory_xact_lock(4827035);
    DELETE FROM search_changes;
    DELETE FROM search_words;
    INSERT INTO search_words (word, chunks)
    SELECT word, count(*) FROM conversation_chunks c, unnest(tsvector_to_array(c.lexemes) || ARRAY['']) AS word GROUP BY word;
END $$;
SELECT recount_search_words();

-- Forms that the stemmer does not know to be one word

CREATE TABLE word_forms (
    word text COLLATE "C" NOT NULL,
    form text COLLATE "C" NOT NULL,
    PRIMARY KEY (word, form)
);
COMMENT ON TABLE word_forms IS 'English lexemes that are forms of one word: buy, bought';

INSERT INTO word_forms (word, form)
SELECT DISTINCT a.word, b.word
  FROM unnest(string_to_array('arise arose arisen,bear bore borne,beat beaten,become became,begin began begun,bend bent,'
        'bind bound,bite bit bitten,bleed bled,blow blew blown,break broke broken,breed bred,bring brought,build built,'
        'burn burnt,buy bought,catch caught,choose chose chosen choice,come came,creep crept,deal dealt,die death dead,'
        'dig dug,draw drew drawn,dream dreamt,drink drank drunk,drive drove driven,eat ate eaten,fall fell fallen,'
        'feed fed,feel felt,fight fought,find found,flee fled,fly flew flown flight,forbid forbade forbidden,'
        'forget forgot forgotten,forgive forgave forgiven,freeze froze frozen,get got gotten,give gave given gift,'
        'go went gone,grow grew grown growth,hang hung,hear heard,hide hid hidden,hold held,keep kept,kneel knelt,'
        'know knew known knowledge,lay laid,lead led,lean leant,leap leapt,learn learnt,leave left,lend lent,lie lain,'
        'light lit,lose lost loss,make made,mean meant,meet met,mistake mistook mistaken,overcome overcame,pay paid,'
        'prove proven proof,ride rode ridden,ring rang rung,rise rose risen,run ran,say said,see saw seen,seek sought,'
        'sell sold sale,send sent,shake shook shaken,shine shone,shoot shot,show shown,shrink shrank shrunk,'
        'sing sang sung song,sink sank sunk,sit sat,sleep slept,slide slid,speak spoke spoken speech,spell spelt,'
        'spend spent,spill spilt,spin spun,spring sprang sprung,stand stood,steal stole stolen,stick stuck,sting stung,'
        'strike struck,swear swore sworn,sweep swept,swim swam swum,swing swung,take took taken,teach taught,'
        'tear tore torn,tell told,think thought,throw threw thrown,understand understood,wake woke woken,'
        'wear wore worn,weave wove woven,weep wept,win won,wind wound,write wrote written,child children,man men,'
        'woman women,person people,foot feet,tooth teeth,mouse mice,wife wives,life lives,half halves,shelf shelves,'
        'decide decision,conclude conclusion,analyse analyze analysis,marry marriage,succeed success,believe belief,'
        'receive receipt,behave behaviour behavior,choose choice,colour color,favourite favorite,centre center',
        ',')) AS line,
       LATERAL (SELECT (ts_lexize('english_stem', form))[1] AS word FROM unnest(string_to_array(line, ' ')) AS form) AS a,
       LATERAL (SELECT (ts_lexize('english_stem', form))[1] AS word FROM unnest(string_to_array(line, ' ')) AS form) AS b
 WHERE a.word <> b.word;

-- A question to weighted words

CREATE FUNCTION query_of(word text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
-- A lexeme as it is.
    SELECT ('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''')::tsquery
$$;

CREATE FUNCTION search_languages(only_session text DEFAULT NULL) RETURNS text[] LANGUAGE sql STABLE AS $$
-- The languages in which a question may be meant: that of the session, or all there are.
    WITH RECURSIVE known (language) AS (
        (SELECT language FROM sessions WHERE only_session IS NULL ORDER BY language LIMIT 1)
        UNION ALL
        SELECT (SELECT s.language FROM sessions s WHERE s.language > k.language ORDER BY s.language LIMIT 1)
          FROM known k WHERE k.language IS NOT NULL
    )
    SELECT COALESCE(array_agg(language), '{english}') FROM (
        SELECT language FROM known WHERE language IS NOT NULL
        UNION SELECT language FROM sessions WHERE id = only_session) AS s
$$;

CREATE FUNCTION search_terms(
    question text, languages text[] DEFAULT '{english}', unfinished boolean DEFAULT false, misspelt boolean DEFAULT false)
RETURNS TABLE (asked text, word text, weight real, chunks bigint) LANGUAGE sql STABLE AS $$
-- The words to look for, rarest first, each with how much it counts: its own rarity, less for another form of what was
-- asked. `unfinished`: the last word may be the beginning of one. `misspelt`: for words that nobody said, those that are
-- spelt nearly so.
    WITH wanted AS (
        SELECT u.lexeme AS asked, min(u.positions[1]) AS place
          FROM unnest(languages) AS l (language), unnest(words_of(l.language, left(question, 10000))) AS u
         GROUP BY u.lexeme ORDER BY 2, 1 LIMIT 200
    ), tail AS (
        SELECT lower(substring(question FROM '([[:alnum:]]{2,40})$')) AS begun WHERE unfinished
    ), told AS (
        SELECT w.asked, w.asked AS word, 1.0 AS share FROM wanted w
         UNION ALL SELECT w.asked, f.form, 0.6 FROM wanted w JOIN word_forms f ON f.word = w.asked
         UNION ALL
        SELECT t.begun, s.word, 0.8
          FROM tail t CROSS JOIN LATERAL (
               SELECT word FROM search_words WHERE word >= t.begun AND word < t.begun || U&'\FFFF' AND chunks > 0
                ORDER BY chunks DESC LIMIT 20) AS s
         UNION ALL
        SELECT w.asked, s.word, 0.6 * s.alike
          FROM (SELECT * FROM wanted ORDER BY place LIMIT 12) AS w CROSS JOIN LATERAL (
               SELECT word, similarity(word, w.asked) AS alike FROM search_words
                WHERE word % w.asked AND chunks > 0 AND word <> w.asked
                ORDER BY similarity(word, w.asked) DESC, chunks DESC, word LIMIT 5) AS s
         WHERE misspelt AND length(w.asked) >= 3
           AND NOT EXISTS (SELECT FROM search_words k WHERE k.word = w.asked AND k.chunks > 0)
    ), forms AS (
        SELECT t.asked, t.word, max(t.share) AS share FROM told t GROUP BY t.asked, t.word
    ), changes AS (
        SELECT u.word, sum(u.n) AS n FROM search_changes c, unnest(c.words, c.counts) AS u (word, n)
         WHERE u.word = '' OR u.word IN (SELECT word FROM forms) GROUP BY u.word
    ), known AS (
        SELECT COALESCE((SELECT chunks FROM search_words WHERE word = ''), 0)
               + COALESCE((SELECT n FROM changes WHERE word = ''), 0) AS chunks
    ), counted AS (
        SELECT f.asked, f.word, f.share,
               GREATEST(0, COALESCE(s.chunks, 0) + COALESCE(c.n, 0)) AS chunks
          FROM forms f LEFT JOIN search_words s ON s.word = f.word LEFT JOIN changes c ON c.word = f.word
    ), together AS (
        SELECT c.*, LEAST(k.chunks, sum(c.chunks) OVER (PARTITION BY c.asked)) AS of_all_forms, k.chunks AS n
          FROM counted c CROSS JOIN known k
    )
    SELECT b.* FROM (
        SELECT DISTINCT ON (t.chunks = 0, t.chunks, t.word) t.asked, t.word,
               (t.share * ln(1 + (t.n - t.of_all_forms + 0.5) / (t.of_all_forms + 0.5)))::real AS weight, t.chunks::bigint
          FROM together t ORDER BY t.chunks = 0, t.chunks, t.word, t.share DESC LIMIT 64) AS b
     ORDER BY b.chunks, b.word
$$;

-- The score of a text

CREATE TABLE search_settings (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    turn_k1 real NOT NULL DEFAULT 0.9 CHECK (turn_k1 >= 0),
    turn_b real NOT NULL DEFAULT 0.4 CHECK (turn_b BETWEEN 0 AND 1),
    chunk_k1 real NOT NULL DEFAULT 1.6 CHECK (chunk_k1 >= 0),
    chunk_b real NOT NULL DEFAULT 0.6 CHECK (chunk_b BETWEEN 0 AND 1),
    turn_meaning real NOT NULL DEFAULT 0.2 CHECK (turn_meaning >= 0),
    chunk_meaning real NOT NULL DEFAULT 0.3 CHECK (chunk_meaning >= 0)
);
INSERT INTO search_settings DEFAULT VALUES;
COMMENT ON TABLE search_settings IS 'BM25: how soon a word that is said again counts no more (k1), and how much long texts are marked down (b)';
COMMENT ON COLUMN search_settings.turn_meaning IS 'what nearness in meaning counts beside the words, where turns have vectors';

CREATE FUNCTION times_said(rank real) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
-- How often a text holds a word, from ts_rank(), which adds up 1/i² for each time and divides by π²/6.
    SELECT width_bucket(rank, '{0.3,0.68,0.79,0.845,0.877,0.898,0.912,0.923,0.932,0.939,0.944}'::real[])
$$;

CREATE FUNCTION bm25(lexemes tsvector, words tsquery[], weights real[], average double precision, k1 real, b real)
RETURNS TABLE (score double precision) LANGUAGE sql STABLE PARALLEL SAFE AS $$
-- Robertson and Zaragoza's formula; a text is as long as it has different words.
    SELECT sum(w.weight * n.times * (k1 + 1) / (n.times + k1 * (1 - b + b * length(lexemes) / average)))
      FROM unnest(words, weights) AS w (word, weight),
           LATERAL (SELECT times_said(ts_rank('{1,1,1,1}', lexemes, w.word)) AS times OFFSET 0) AS n
     WHERE n.times > 0
$$;

-- Lists of one kind, best first

CREATE FUNCTION rank_turns(
    driving tsquery, words tsquery[], weights real[], named text[], exact boolean, only_session text, only_speaker text,
    since timestamptz, until timestamptz, wanted integer)
RETURNS TABLE (id bigint, score double precision)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
-- A turn counts for what it says, for what is said right before and after it (an answer seldom repeats the question), and
-- for the chunk that it is in; more when who speaks is named in the question. `exact`: only turns that hold `driving`.
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        (SELECT t.session_id, t.seq, t.lexemes FROM turns t
          WHERE only_session IS NULL AND t.lexemes @@ driving
            AND (since IS NULL OR COALESCE(t.start_time, t.created) >= since)
            AND (until IS NULL OR COALESCE(t.start_time, t.created) < until)
          LIMIT 4000)
        UNION ALL
        (SELECT t.session_id, t.seq, t.lexemes FROM (SELECT * FROM turns o WHERE o.session_id = only_session OFFSET 0) AS t
          WHERE t.lexemes @@ driving
            AND (since IS NULL OR COALESCE(t.start_time, t.created) >= since)
            AND (until IS NULL OR COALESCE(t.start_time, t.created) < until))
    ), own AS (
        SELECT f.session_id, f.seq, b.score
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM found f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
    ), around AS (
        SELECT o.session_id, o.seq + n.step AS seq,
               sum(o.score * n.share) * CASE WHEN bool_or(n.step = 0) THEN 1 ELSE 0.8 END AS score
          FROM own o CROSS JOIN (VALUES (0, 1.0), (1, 0.5), (-1, 0.5), (2, 0.2), (-2, 0.2)) AS n (step, share)
         WHERE n.step = 0 OR NOT exact
         GROUP BY 1, 2 ORDER BY 3 DESC LIMIT CASE WHEN only_speaker IS NULL THEN 60 + wanted ELSE 4000 END
    ), best AS (
        SELECT t.id, t.speaker, a.score, c.id AS chunk, c.lexemes
          FROM around a JOIN turns t ON t.session_id = a.session_id AND t.seq = a.seq
          LEFT JOIN LATERAL (SELECT o.id, o.lexemes, o.last_turn, o.session_id FROM conversation_chunks o
                              WHERE o.first_turn <= t.id ORDER BY o.first_turn DESC LIMIT 1) AS c
            ON c.last_turn >= t.id AND c.session_id = t.session_id
         WHERE only_speaker IS NULL OR lower(t.speaker) = lower(only_speaker)
    ), chunks AS MATERIALIZED (
        SELECT c.chunk, b.score
          FROM (SELECT d.chunk, d.lexemes, avg(length(d.lexemes)) OVER () AS average
                  FROM (SELECT DISTINCT ON (chunk) chunk, lexemes FROM best WHERE chunk IS NOT NULL) AS d) AS c
         CROSS JOIN LATERAL bm25(c.lexemes, words, weights, c.average, s.chunk_k1, s.chunk_b) AS b
    )
    SELECT b.id, (b.score + 0.3 * COALESCE(c.score, 0))
                 * CASE WHEN string_to_array(lower(b.speaker), ' ') && named THEN 1.6 ELSE 1 END AS score
      FROM best b LEFT JOIN chunks c ON c.chunk = b.chunk
     ORDER BY 2 DESC, b.id DESC LIMIT wanted;
END $$;

CREATE FUNCTION rank_chunks(
    driving tsquery, words tsquery[], weights real[], exact boolean, only_session text, only_speaker text,
    since timestamptz, until timestamptz, wanted integer)
RETURNS TABLE (id bigint, score double precision)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
-- A chunk counts for all that it says, for the best turn in it or right beside it, and a little for the chunks beside it;
-- one beside a better one less, since who reads that reads on.
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        (SELECT c.* FROM conversation_chunks c
          WHERE only_session IS NULL AND c.lexemes @@ driving
            AND (only_speaker IS NULL OR c.participants ? only_speaker)
            AND (since IS NULL OR COALESCE(c.start_time, c.created) >= since)
            AND (until IS NULL OR COALESCE(c.start_time, c.created) < until)
          LIMIT 4000)
        UNION ALL
        (SELECT c.* FROM (SELECT * FROM conversation_chunks o WHERE o.session_id = only_session OFFSET 0) AS c
          WHERE c.lexemes @@ driving
            AND (only_speaker IS NULL OR c.participants ? only_speaker)
            AND (since IS NULL OR COALESCE(c.start_time, c.created) >= since)
            AND (until IS NULL OR COALESCE(c.start_time, c.created) < until))
    ), own AS (
        SELECT f.id, f.session_id, f.first_turn, f.last_turn, b.score,
               CASE WHEN f.chunk_id ~ '^[0-9]{1,9}$' THEN f.chunk_id::integer END AS place
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM found f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.chunk_k1, s.chunk_b) AS b
         ORDER BY b.score DESC, f.id DESC LIMIT 30 + wanted
    ), said AS MATERIALIZED (
        SELECT o.id AS chunk, t.seq, t.lexemes
          FROM own o JOIN turns t ON t.id BETWEEN o.first_turn - 1 AND o.last_turn + 1 AND t.session_id = o.session_id
    ), told AS (
        SELECT f.chunk, f.seq, COALESCE(b.score, 0) AS score
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM said f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
    ), turns_around AS (
        SELECT t.chunk, t.score + 0.5 * (COALESCE(lag(t.score) OVER w, 0) + COALESCE(lead(t.score) OVER w, 0)) AS score
          FROM told t WINDOW w AS (PARTITION BY t.chunk ORDER BY t.seq)
    ), best_turns AS MATERIALIZED (
        SELECT chunk, max(score) AS score FROM turns_around GROUP BY chunk
    ), mixed AS (
        SELECT o.id, o.session_id, o.place, o.score + 0.5 * COALESCE(t.score, 0) AS score
          FROM own o LEFT JOIN best_turns t ON t.chunk = o.id
    ), beside AS (
        SELECT m.id, m.score + 0.2 * (SELECT COALESCE(sum(n.score), 0) FROM mixed n
                                       WHERE n.session_id = m.session_id AND n.place IN (m.place - 1, m.place + 1)
                                         AND NOT exact) AS score,
               m.session_id, m.place
          FROM mixed m
    )
    SELECT b.id, b.score * CASE WHEN EXISTS (SELECT FROM beside n
                                              WHERE n.session_id = b.session_id AND abs(n.place - b.place) BETWEEN 1 AND 3
                                                AND n.score > b.score) THEN 0.9 ELSE 1 END
      FROM beside b ORDER BY 2 DESC, b.id DESC LIMIT wanted;
END $$;

CREATE FUNCTION rank_memories(
    driving tsquery, words tsquery[], weights real[], only_session text, only_type text, only_speaker text,
    since timestamptz, until timestamptz, as_of timestamptz, wanted integer)
RETURNS TABLE (id bigint, root bigint, score double precision)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
-- What was said again is one hit, in the words that fit best. `as_of`: what was in force at that time.
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT m.id, COALESCE(m.merged_into, m.id) AS root, m.lexemes, m.said_at
          FROM (SELECT * FROM memories o WHERE o.lexemes @@ driving OFFSET 0) AS m
         WHERE m.review <> 'rejected' AND (only_session IS NULL OR m.session_id = only_session)
           AND (only_type IS NULL OR m.type = only_type)
           AND (only_speaker IS NULL OR lower(m.speaker) = lower(only_speaker))
           AND (since IS NULL OR m.said_at >= since) AND (until IS NULL OR m.said_at < until)
           AND (as_of IS NULL OR m.said_at <= as_of)
         LIMIT 4000
    ), standing AS (
        SELECT f.* FROM found f JOIN memories r ON r.id = f.root
         WHERE as_of IS NULL OR ((r.superseded_at IS NULL OR r.superseded_at > as_of) AND r.review <> 'rejected')
    ), scored AS (
        SELECT f.id, f.root, f.said_at, b.score
          FROM (SELECT f.*, avg(length(f.lexemes)) OVER () AS average FROM standing f) AS f
         CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
    )
    SELECT b.id, b.root, b.score
      FROM (SELECT DISTINCT ON (root) * FROM scored ORDER BY root, score DESC, said_at, id) AS b
     WHERE b.score > 0 ORDER BY b.score DESC, b.root DESC LIMIT wanted;
END $$;

CREATE FUNCTION rank_tasks(
    driving tsquery, words tsquery[], weights real[], only_session text, only_type text, only_agent text,
    since timestamptz, until timestamptz, wanted integer)
RETURNS TABLE (id text, score double precision)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    SELECT f.id, b.score
      FROM (SELECT t.id, w.words AS lexemes, avg(length(w.words)) OVER () AS average
              FROM (SELECT * FROM task_words o WHERE o.words @@ driving LIMIT 4000) AS w JOIN tasks t ON t.id = w.task_id
             WHERE (only_session IS NULL OR t.session_id = only_session) AND (only_type IS NULL OR t.task_type = only_type)
               AND (only_agent IS NULL OR lower(t.agent_name) = lower(only_agent))
               AND (since IS NULL OR t.created >= since) AND (until IS NULL OR t.created < until)) AS f
     CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.turn_k1, s.turn_b) AS b
     WHERE b.score > 0 ORDER BY b.score DESC, f.id DESC LIMIT wanted;
END $$;

CREATE FUNCTION rank_artifacts(
    driving tsquery, words tsquery[], weights real[], only_session text, only_type text,
    since timestamptz, until timestamptz, wanted integer)
RETURNS TABLE (id text, score double precision)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    s search_settings;
BEGIN
    SELECT * INTO s FROM search_settings;
    RETURN QUERY
    SELECT f.id, b.score
      FROM (SELECT a.id, a.lexemes, avg(length(a.lexemes)) OVER () AS average
              FROM (SELECT * FROM artifacts o WHERE o.lexemes @@ driving LIMIT 4000) AS a
             WHERE (only_session IS NULL OR a.session_id = only_session) AND (only_type IS NULL OR a.type = only_type)
               AND (since IS NULL OR a.created >= since) AND (until IS NULL OR a.created < until)) AS f
     CROSS JOIN LATERAL bm25(f.lexemes, words, weights, f.average, s.chunk_k1, s.chunk_b) AS b
     WHERE b.score > 0 ORDER BY b.score DESC, f.id DESC LIMIT wanted;
END $$;

-- Nearness in meaning, where pgvector is there and vectors were made

CREATE FUNCTION prepare_vectors() RETURNS void LANGUAGE plpgsql AS $$
-- Makes the tables of vectors: a vector of a model for a turn or chunk, gone with its text.
BEGIN
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TABLE IF NOT EXISTS turn_vectors (
        id bigint PRIMARY KEY REFERENCES turns ON DELETE CASCADE,
        model text NOT NULL,
        dimensions integer NOT NULL,
        vector vector NOT NULL,
        CHECK (vector_dims(vector) = dimensions)
    );
    CREATE TABLE IF NOT EXISTS chunk_vectors (
        id bigint PRIMARY KEY REFERENCES conversation_chunks ON DELETE CASCADE,
        model text NOT NULL,
        dimensions integer NOT NULL,
        vector vector NOT NULL,
        CHECK (vector_dims(vector) = dimensions)
    );
END $$;

CREATE FUNCTION forget_vector() RETURNS trigger LANGUAGE plpgsql AS $$
-- A text that changed needs a new vector. TG_ARGV[0] is the table that has the old one.
BEGIN
    IF to_regclass(TG_ARGV[0]) IS NOT NULL THEN
        EXECUTE format('DELETE FROM %I WHERE id = $1', TG_ARGV[0]) USING NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_vector AFTER UPDATE OF text, caption ON turns
    FOR EACH ROW WHEN (OLD.lexemes <> NEW.lexemes) EXECUTE FUNCTION forget_vector('turn_vectors');
CREATE TRIGGER forget_vector AFTER UPDATE OF content ON conversation_chunks
    FOR EACH ROW WHEN (OLD.lexemes <> NEW.lexemes) EXECUTE FUNCTION forget_vector('chunk_vectors');

CREATE FUNCTION with_meaning(
    kind text, ids bigint[], scores double precision[], meaning real[], model text, only_session text, only_speaker text,
    since timestamptz, until timestamptz, wanted integer)
RETURNS TABLE (id bigint, score double precision) LANGUAGE plpgsql STABLE AS $$
-- A list of turns or chunks found by words, with those that mean nearly what is asked: both scores are measured in
-- standard deviations and added. The scores of the list go to the places of the new one, so that they compare with others.
-- Without a vector for the question, or any for texts, the list as it is.
#variable_conflict use_column
DECLARE
    weight real := (SELECT CASE kind WHEN 'turns' THEN s.turn_meaning ELSE s.chunk_meaning END FROM search_settings s);
BEGIN
    IF meaning IS NULL OR to_regclass('turn_vectors') IS NULL THEN
        RETURN QUERY SELECT * FROM unnest(ids, scores);
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($sql$
        WITH by_words AS (
            SELECT w.id, w.score, w.place FROM unnest($1, $2) WITH ORDINALITY AS w (id, score, place)
        ), near AS (
            SELECT v.id FROM %1$I v JOIN %2$I t ON t.id = v.id
             WHERE v.model = $4 AND v.dimensions = cardinality($3) AND ($5 IS NULL OR t.session_id = $5)
               AND ($6 IS NULL OR %3$s) AND ($7 IS NULL OR COALESCE(t.start_time, t.created) >= $7)
               AND ($8 IS NULL OR COALESCE(t.start_time, t.created) < $8)
             ORDER BY v.vector::vector(%4$s) <=> $3::vector(%4$s) LIMIT $9
        ), both_lists AS (
            SELECT id FROM by_words UNION SELECT id FROM near
        ), measured AS (
            SELECT b.id, COALESCE(w.score, 0) AS words, 1 - (v.vector::vector(%4$s) <=> $3::vector(%4$s)) AS meaning
              FROM both_lists b LEFT JOIN by_words w ON w.id = b.id
              LEFT JOIN %1$I v ON v.id = b.id AND v.model = $4 AND v.dimensions = cardinality($3)
        ), standard AS (
            SELECT m.id, (m.words - avg(m.words) OVER ()) / NULLIF(stddev_pop(m.words) OVER (), 0) AS words,
                   (m.meaning - avg(m.meaning) OVER ()) / NULLIF(stddev_pop(m.meaning) OVER (), 0) AS meaning
              FROM measured m
        ), placed AS (
            SELECT s.id, row_number() OVER (ORDER BY COALESCE(s.words, 0) + $10 * COALESCE(s.meaning, 0) DESC,
                                                     s.id DESC) AS place
              FROM standard s
        )
        SELECT p.id, COALESCE(w.score, (SELECT min(score) FROM by_words) * 0.99, 0.1) * (1 - 0.0001 * p.place)
          FROM placed p LEFT JOIN by_words w ON w.place = p.place
         WHERE p.place <= $9 ORDER BY p.place $sql$,
        CASE kind WHEN 'turns' THEN 'turn_vectors' ELSE 'chunk_vectors' END,
        CASE kind WHEN 'turns' THEN 'turns' ELSE 'conversation_chunks' END,
        CASE kind WHEN 'turns' THEN 'lower(t.speaker) = lower($6)' ELSE 't.participants ? $6' END,
        cardinality(meaning))
    USING ids, scores, meaning, model, only_session, only_speaker, since, until, wanted, weight;
END $$;

-- One list over all kinds

CREATE FUNCTION search_driving(asked text[], words tsquery[], chunks bigint[], most bigint) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE AS $$
-- What a text has to hold to be looked at: one of the rarest words, as many of them as together are in not more chunks
-- than `most` (NULL: all); when even the rarest is in more, it and one other. Rarest first.
DECLARE
    driving tsquery;
    others  tsquery;
    many    bigint := 0;
BEGIN
    FOR i IN 1 .. cardinality(words) LOOP
        EXIT WHEN many > 0 AND many + chunks[i] > most;
        many := many + chunks[i];
        IF many > most THEN
            FOR j IN i + 1 .. cardinality(words) LOOP
                CONTINUE WHEN asked[j] = asked[i];
                others := CASE WHEN others IS NULL THEN words[j] ELSE others || words[j] END;
            END LOOP;
        END IF;
        others := CASE WHEN others IS NULL THEN words[i] ELSE words[i] && others END;
        driving := CASE WHEN driving IS NULL THEN others ELSE driving || others END;
        others := NULL;
    END LOOP;
    RETURN driving;
END $$;

CREATE FUNCTION search(
    question text, kinds text[] DEFAULT '{turns,memories,tasks,artifacts}', only_session text DEFAULT NULL,
    only_type text DEFAULT NULL, only_speaker text DEFAULT NULL, since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL, as_of timestamptz DEFAULT NULL, max_results integer DEFAULT 10,
    unfinished boolean DEFAULT false, meaning real[] DEFAULT NULL, model text DEFAULT NULL)
RETURNS TABLE (kind text, id text, session_id text, speaker text, type text, turn_seq integer, at timestamptz,
               score double precision, body text, found tsquery, explained jsonb)
LANGUAGE plpgsql STABLE SET jit = off SET plan_cache_mode = force_generic_plan AS $$
-- What answers a question, best first. A plain question finds what shares its rarer words, with their other forms;
-- "words in quotes" and -words are kept to (websearch_to_tsquery), unless nothing fits that and there is more to the
-- question. Nothing found: words that are spelt nearly so. `meaning`, of `model`, is the question as a vector.
-- The score is the share of the best there could be: what the question's words are worth, each said often.
#variable_conflict use_column
DECLARE
    languages text[] := search_languages(only_session);
    exactly   boolean := question ~ '"|(^|\s)-\w';
    plain     text := CASE WHEN exactly THEN regexp_replace(question, '(^|\s)-("[^"]*"|\S+)', ' ', 'g')
                           ELSE question END;
    only_quotes boolean := regexp_replace(question, '-?"[^"]*"?|(^|\s)-\S+', ' ', 'g') !~ '[[:alnum:]]';
    named     text[] := ARRAY(SELECT DISTINCT regexp_replace(lower(m[1]), '''s$', '')
                                FROM regexp_matches(left(question, 10000), '[[:alpha:]][[:alpha:]''-]+', 'g') AS m
                               WHERE lower(m[1]) NOT IN ('speaker', 'user', 'assistant', 'agent', 'the', 'unknown',
                                                         'caller'));
    pool      integer := 50 * ceil(max_results / 50.0);  -- the same for the pages of a list, so that they fit together
    asked     text[];
    terms     text[];
    words     tsquery[];
    weights   real[];
    chunks    bigint[];
    best      double precision;
    few       boolean;
    meant     real[];
    said      text[] := CASE WHEN only_type IS NULL AND as_of IS NULL THEN kinds ELSE '{}' END;  -- of turns and chunks
    driving   tsquery;  -- what is looked at, of turns and chunks
    wide      tsquery;  -- and of memories, tasks and artifacts, which are fewer and say things their own way
    must      tsquery;
BEGIN
    FOR attempt IN 0 .. 3 LOOP
        CONTINUE WHEN attempt = 0 AND NOT exactly OR attempt = 2 AND (only_session IS NOT NULL OR driving = wide);
        must := NULL;
        SELECT array_agg(t.asked), array_agg(t.word), array_agg(query_of(t.word)), array_agg(t.weight),
               array_agg(t.chunks)
          INTO asked, terms, words, weights, chunks FROM search_terms(plain, languages, unfinished, attempt = 3) AS t;
        IF words IS NULL THEN
            RETURN;
        END IF;
        SELECT sum(w.weight), count(*) < 3 INTO best, few
          FROM (SELECT max(u.weight) AS weight FROM unnest(asked, weights) AS u (asked, weight) GROUP BY u.asked) AS w;
        IF attempt = 0 THEN
            must := websearch_to_tsquery(('pg_catalog.' || languages[1])::regconfig, left(question, 10000));
            driving := must;
            wide := must;
        ELSE
            driving := search_driving(asked, words, chunks, CASE WHEN only_session IS NULL AND attempt = 1 THEN 500 END);
            wide := search_driving(asked, words, chunks, CASE WHEN only_session IS NULL AND attempt = 1 THEN 20000 END);
        END IF;
        meant := CASE WHEN attempt > 0 THEN meaning END;
        RETURN QUERY
        WITH ranked AS (
            SELECT 'turns' AS kind, r.id::text AS id, 0.6 * r.score AS score, r.id AS number, NULL::bigint AS saying
              FROM (SELECT array_agg(f.id ORDER BY f.place) AS ids, array_agg(f.score ORDER BY f.place) AS scores
                      FROM rank_turns(driving, words, weights, named, attempt = 0 OR few, only_session, only_speaker, since,
                                      until, pool) WITH ORDINALITY AS f (id, score, place)
                     WHERE 'turns' = ANY (said)) AS w
             CROSS JOIN LATERAL with_meaning('turns', w.ids, w.scores, meant, model, only_session, only_speaker, since,
                                             until, pool) AS r
             WHERE 'turns' = ANY (said)
             UNION ALL
            SELECT 'chunks', r.id::text, 0.5 * r.score, r.id, NULL
              FROM (SELECT array_agg(f.id ORDER BY f.place) AS ids, array_agg(f.score ORDER BY f.place) AS scores
                      FROM rank_chunks(driving, words, weights, attempt = 0, only_session, only_speaker, since, until,
                                       pool) WITH ORDINALITY AS f (id, score, place)
                     WHERE 'chunks' = ANY (said)) AS w
             CROSS JOIN LATERAL with_meaning('chunks', w.ids, w.scores, meant, model, only_session, only_speaker, since,
                                             until, pool) AS r
             WHERE 'chunks' = ANY (said)
             UNION ALL
            SELECT 'memories', r.root::text, r.score, r.root, r.id
              FROM rank_memories(wide, words, weights, only_session, only_type, only_speaker, since, until, as_of, pool) AS r
             WHERE 'memories' = ANY (kinds)
             UNION ALL
            SELECT 'tasks', r.id, r.score, NULL, NULL
              FROM rank_tasks(wide, words, weights, only_session, only_type, only_speaker, since, until, pool) AS r
             WHERE 'tasks' = ANY (kinds) AND as_of IS NULL
             UNION ALL
            SELECT 'artifacts', r.id, r.score, NULL, NULL
              FROM rank_artifacts(wide, words, weights, only_session, only_type, since, until, pool) AS r
             WHERE 'artifacts' = ANY (kinds) AND only_speaker IS NULL AND as_of IS NULL
        ), top AS (
            SELECT r.*, row_number() OVER () AS place
              FROM (SELECT * FROM ranked WHERE score > 0
                     ORDER BY score DESC, kind, number DESC, id DESC LIMIT max_results) AS r
        ), whole AS (
            SELECT r.place, r.kind, r.id, t.session_id, t.speaker, NULL AS type, t.seq AS turn_seq,
                   COALESCE(t.start_time, t.created) AS at, r.score,
                   t.text || COALESCE(E'\n' || t.caption, '') AS body, t.lexemes
              FROM top r JOIN turns t ON t.id = r.number WHERE r.kind = 'turns'
             UNION ALL
            SELECT r.place, r.kind, c.chunk_id, c.session_id, NULL, c.format, f.seq, COALESCE(c.start_time, c.created), r.score,
                   c.content, c.lexemes
              FROM top r JOIN conversation_chunks c ON c.id = r.number LEFT JOIN turns f ON f.id = c.first_turn
             WHERE r.kind = 'chunks'
             UNION ALL
            SELECT r.place, r.kind, r.id, m.session_id, m.speaker, m.type, t.seq, m.said_at, r.score,
                   COALESCE(m.quote, m.title), m.lexemes
              FROM top r JOIN memories m ON m.id = r.saying LEFT JOIN turns t ON t.id = m.turn WHERE r.kind = 'memories'
             UNION ALL
            SELECT r.place, r.kind, r.id, t.session_id, t.agent_name, t.task_type, NULL, t.created, r.score, t.title, w.words
              FROM top r JOIN tasks t ON t.id = r.id JOIN task_words w ON w.task_id = t.id WHERE r.kind = 'tasks'
             UNION ALL
            SELECT r.place, r.kind, r.id, a.session_id, NULL, a.type, NULL, a.created, r.score,
                   a.name || E'\n' || a.content, a.lexemes
              FROM top r JOIN artifacts a ON a.id = r.id WHERE r.kind = 'artifacts'
        )
        SELECT w.kind, w.id, w.session_id, w.speaker, w.type, w.turn_seq, w.at,
               round((w.score / GREATEST(best * 2, 0.001))::numeric, 4)::double precision, w.body,
               COALESCE(must, (SELECT string_agg(u::text, ' | ')::tsquery FROM unnest(words) AS u)),
               (SELECT jsonb_object_agg(u.word, round((u.weight / GREATEST(best, 0.001))::numeric, 3))
                  FROM unnest(terms, words, weights) AS u (word, query, weight) WHERE w.lexemes @@ u.query)
          FROM whole w ORDER BY w.place;
        EXIT WHEN FOUND OR (attempt = 0 AND only_quotes);
    END LOOP;
END $$;
