-- The catalogue. Times are microseconds since the Unix epoch; ids are lower-case hyphenated UUIDs.

-- `seq` is the order of registration: lists walk it, so that a page never moves while others register.
CREATE TABLE assets (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT    NOT NULL UNIQUE,
    tenant            TEXT    NOT NULL,
    title             TEXT    NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('registered', 'ready', 'failed')),
    error             TEXT,
    source_key        TEXT    NOT NULL,
    file_name         TEXT,
    source_size_bytes INTEGER NOT NULL CHECK (source_size_bytes >= 0),
    source_sha256     TEXT    NOT NULL,
    probe             TEXT    NOT NULL CHECK (json_valid(probe)),
    poster_key        TEXT,
    revision          INTEGER NOT NULL CHECK (revision >= 1),
    created_at_us     INTEGER NOT NULL,
    updated_at_us     INTEGER NOT NULL
) STRICT;

CREATE INDEX assets_by_tenant ON assets (tenant, seq);
CREATE INDEX assets_by_state ON assets (tenant, state, seq);

-- Every published version; the one with the highest `seq` plays.
CREATE TABLE versions (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant        TEXT    NOT NULL,
    asset_seq     INTEGER NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    job_id        TEXT,
    chain         TEXT    NOT NULL,
    created_at_us INTEGER NOT NULL,
    UNIQUE (asset_seq, name)
) STRICT;

CREATE INDEX versions_by_asset ON versions (asset_seq, seq);

CREATE TABLE tracks (
    version_seq           INTEGER NOT NULL REFERENCES versions (seq) ON DELETE CASCADE,
    position              INTEGER NOT NULL,
    tenant                TEXT    NOT NULL,
    name                  TEXT    NOT NULL,
    kind                  TEXT    NOT NULL CHECK (kind IN ('video', 'audio')),
    codec                 TEXT    NOT NULL,
    width                 INTEGER,
    height                INTEGER,
    frame_rate_num        INTEGER,
    frame_rate_den        INTEGER CHECK (frame_rate_den > 0),
    channels              INTEGER,
    sample_rate_hz        INTEGER,
    language              TEXT,
    duration_ms           INTEGER NOT NULL,
    samples               INTEGER NOT NULL,
    average_bandwidth_bps INTEGER NOT NULL,
    peak_bandwidth_bps    INTEGER NOT NULL,
    size_bytes            INTEGER NOT NULL,
    PRIMARY KEY (version_seq, position),
    UNIQUE (version_seq, name)
) STRICT, WITHOUT ROWID;

-- What was deleted: while `done_at_us` is null its objects have still to be removed from the store; after that the
-- row stays, so that a late call about the asset cannot bring it back without its bytes.
CREATE TABLE deletions (
    asset_id      TEXT    PRIMARY KEY,
    tenant        TEXT    NOT NULL,
    deleted_at_us INTEGER NOT NULL,
    due_at_us     INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    error         TEXT,
    done_at_us    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX deletions_due ON deletions (due_at_us) WHERE done_at_us IS NULL;

-- Full text. The tenant is a column of it, so that one tenant's search never reads another's matches.
CREATE VIRTUAL TABLE assets_text USING fts5 (
    title, file_name, tenant,
    content = 'assets', content_rowid = 'seq', prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TRIGGER assets_text_insert AFTER INSERT ON assets BEGIN
    INSERT INTO assets_text (rowid, title, file_name, tenant) VALUES (new.seq, new.title, new.file_name, new.tenant);
END;

CREATE TRIGGER assets_text_delete AFTER DELETE ON assets BEGIN
    INSERT INTO assets_text (assets_text, rowid, title, file_name, tenant)
    VALUES ('delete', old.seq, old.title, old.file_name, old.tenant);
END;

CREATE TRIGGER assets_text_update AFTER UPDATE OF title, file_name, tenant ON assets BEGIN
    INSERT INTO assets_text (assets_text, rowid, title, file_name, tenant)
    VALUES ('delete', old.seq, old.title, old.file_name, old.tenant);
    INSERT INTO assets_text (rowid, title, file_name, tenant) VALUES (new.seq, new.title, new.file_name, new.tenant);
END;
