-- People who log in to the console, and what its first page looks for.

CREATE TABLE people (
    name     text PRIMARY KEY CHECK (name <> '' AND length(name) <= 100),
    password text NOT NULL CHECK (password LIKE '$argon2id$%'),
    role     text NOT NULL CHECK (role IN ('viewer', 'reviewer', 'admin')),
    created  timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled timestamptz
);
COMMENT ON COLUMN people.password IS 'an argon2id hash';
COMMENT ON COLUMN people.disabled IS 'since when this person gets in no more; NULL: may';
CREATE UNIQUE INDEX people_by_name ON people (lower(name));

CREATE TABLE logins (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    person     text NOT NULL REFERENCES people ON UPDATE CASCADE ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    user_agent text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 200)
);
COMMENT ON COLUMN logins.hash IS 'sha256 of the cookie, which has 256 random bits and is stored nowhere';
COMMENT ON COLUMN logins.last_seen IS 'to the minute';
CREATE INDEX logins_by_person ON logins (person);
CREATE INDEX logins_by_end ON logins (expires_at);

CREATE TABLE login_links (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    role       text NOT NULL CHECK (role IN ('viewer', 'reviewer', 'admin')),
    person     text REFERENCES people ON UPDATE CASCADE ON DELETE CASCADE,
    created    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
COMMENT ON COLUMN login_links.person IS 'who chooses a new password by it; NULL: somebody who is not known yet';
CREATE INDEX login_links_by_person ON login_links (person) WHERE person IS NOT NULL;

CREATE TABLE failed_logins (
    who          bytea PRIMARY KEY CHECK (octet_length(who) = 32),
    failures     integer NOT NULL,
    last_failure timestamptz NOT NULL,
    locked_until timestamptz NOT NULL
);
COMMENT ON TABLE failed_logins IS 'tries since the last login that succeeded, by name and by address, for a day; some 10,000 at most';
COMMENT ON COLUMN failed_logins.who IS 'sha256 of the name or address: a password may have been typed for a name';
CREATE INDEX failed_logins_by_time ON failed_logins (last_failure);

-- What waits for people, what runs and what failed: found among millions, since it is few.
CREATE INDEX memories_to_review ON memories (id DESC)
 WHERE review = 'proposed' AND merged_into IS NULL AND superseded_by IS NULL;
CREATE INDEX tasks_for_people ON tasks (created DESC, id DESC) WHERE status IN ('proposed', 'needs_input');
CREATE INDEX tasks_failed ON tasks (completed DESC, id DESC) WHERE status = 'failed';
CREATE INDEX deliveries_failed ON deliveries (received_at DESC, id) WHERE state = 'failed';
