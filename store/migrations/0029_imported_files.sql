-- Which files of a tree of JSON files were imported, so that another run neither repeats nor loses anything.

CREATE TABLE imported_files (
    session_id   text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    path         text NOT NULL,
    file_version text NOT NULL,
    row_version  text NOT NULL,
    imported     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, path)
);
COMMENT ON COLUMN imported_files.path IS 'within the folder of its session';
COMMENT ON COLUMN imported_files.file_version IS 'SHA-256 of what the file said';
COMMENT ON COLUMN imported_files.row_version IS 'of the row as it was left; another one says that it was changed here since';
