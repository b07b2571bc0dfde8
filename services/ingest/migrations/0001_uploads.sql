-- One row an upload, from its announcement to a while after its end. Times are Unix milliseconds.
CREATE TABLE uploads (
    id            TEXT    NOT NULL PRIMARY KEY, -- UUID version 7: sorts by time of creation
    tenant        TEXT    NOT NULL,
    origin        TEXT    NOT NULL CHECK (origin IN ('tus', 'put', 'pull')),
    stage         TEXT    NOT NULL CHECK (stage IN ('receiving', 'assemble', 'inspect', 'picture', 'register', 'queue',
                                                    'done', 'refusing', 'failed', 'ending', 'gone')),
    due_at_ms     INTEGER,                      -- when the stage's work is to be tried; NULL: it has none
    attempts      INTEGER NOT NULL DEFAULT 0,   -- of this stage's work, in a row
    offset_bytes  INTEGER NOT NULL DEFAULT 0,   -- acknowledged: parts and tail hold this many
    length_bytes  INTEGER,                      -- promised; NULL: not known yet
    part_bytes    INTEGER NOT NULL,             -- every part but the last has this size
    file_name     TEXT,
    title         TEXT,
    chain         TEXT    NOT NULL,
    url           TEXT,                         -- of a pull
    validator     TEXT,                         -- ETag or date that names exactly the bytes that a pull has begun
    multipart_id  TEXT,                         -- the store's name of the multipart upload
    tail_key      TEXT,                         -- object that holds what is left after the last whole part
    tail_bytes    INTEGER NOT NULL DEFAULT 0,
    sha256_state  BLOB,                         -- of the first offset_bytes
    sha256        TEXT,                         -- of the whole
    probe         TEXT,                         -- JSON
    poster_key    TEXT,
    asset_id      TEXT,
    job_id        TEXT,
    error         TEXT,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER                       -- unfinished: ends then; gone: forgotten then
) STRICT;

CREATE INDEX uploads_of_tenant ON uploads (tenant, id DESC);
CREATE INDEX uploads_due ON uploads (due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE INDEX uploads_expiring ON uploads (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

-- The parts of a multipart upload that the store has and that are acknowledged.
CREATE TABLE parts (
    upload_id  TEXT    NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    tenant     TEXT    NOT NULL,
    number     INTEGER NOT NULL CHECK (number BETWEEN 1 AND 10000),
    etag       TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (upload_id, number)
) STRICT, WITHOUT ROWID;
