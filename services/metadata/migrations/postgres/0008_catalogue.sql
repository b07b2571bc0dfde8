-- The catalogue as the eighth migration of SQLite leaves it. Times are microseconds since the Unix epoch; ids are lower-case
-- hyphenated UUIDs. Text that is compared or sorted is so by its code points (COLLATE "C"), whatever the server's locale.
-- No extension is needed, and no right but that to make tables.

-- `seq` is the order of registration: lists walk it, so that a page never moves while others register.
CREATE TABLE assets (
    seq               BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                TEXT    COLLATE "C" NOT NULL UNIQUE,
    tenant            TEXT    COLLATE "C" NOT NULL,
    title             TEXT    COLLATE "C" NOT NULL,
    state             TEXT    COLLATE "C" NOT NULL CHECK (state IN ('registered', 'ready', 'failed')),
    error             TEXT,
    source_key        TEXT    NOT NULL,
    file_name         TEXT,
    source_size_bytes BIGINT  NOT NULL CHECK (source_size_bytes >= 0),
    source_sha256     TEXT    NOT NULL,
    probe             JSONB   NOT NULL,
    poster_key        TEXT,
    revision          BIGINT  NOT NULL CHECK (revision >= 1),
    created_at_us     BIGINT  NOT NULL,
    updated_at_us     BIGINT  NOT NULL,
    protected         BOOLEAN NOT NULL DEFAULT FALSE,
    encryption        TEXT    CHECK (encryption IN ('aes-128', 'sample-aes')),
    sound_labels      JSONB   NOT NULL DEFAULT '[]',
    -- The words of title and file name, and the tenant's name as one: made by the service, for no parser of PostgreSQL cuts
    -- words as SQLite's does.
    words             TSVECTOR NOT NULL
);

CREATE INDEX assets_by_tenant ON assets (tenant, seq);
CREATE INDEX assets_by_state ON assets (tenant, state, seq);
CREATE INDEX assets_words ON assets USING GIN (words);

-- Every published version; the one with the highest `seq` plays.
CREATE TABLE versions (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant        TEXT   COLLATE "C" NOT NULL,
    asset_seq     BIGINT NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    name          TEXT   COLLATE "C" NOT NULL,
    job_id        TEXT,
    chain         TEXT   NOT NULL,
    created_at_us BIGINT NOT NULL,
    thumbnails    JSONB,
    conditioning  JSONB,
    UNIQUE (asset_seq, name)
);

CREATE INDEX versions_by_asset ON versions (asset_seq, seq);

CREATE TABLE tracks (
    version_seq           BIGINT NOT NULL REFERENCES versions (seq) ON DELETE CASCADE,
    position              BIGINT NOT NULL,
    tenant                TEXT   COLLATE "C" NOT NULL,
    name                  TEXT   COLLATE "C" NOT NULL,
    kind                  TEXT   NOT NULL CHECK (kind IN ('video', 'audio')),
    codec                 TEXT   NOT NULL,
    width                 BIGINT,
    height                BIGINT,
    frame_rate_num        BIGINT,
    frame_rate_den        BIGINT CHECK (frame_rate_den > 0),
    channels              BIGINT,
    sample_rate_hz        BIGINT,
    language              TEXT,
    duration_ms           BIGINT NOT NULL,
    samples               BIGINT NOT NULL,
    average_bandwidth_bps BIGINT NOT NULL,
    peak_bandwidth_bps    BIGINT NOT NULL,
    size_bytes            BIGINT NOT NULL,
    role                  TEXT   NOT NULL DEFAULT 'main',
    title                 TEXT,
    source_sound          BIGINT,
    PRIMARY KEY (version_seq, position),
    UNIQUE (version_seq, name)
);

-- Subtitles of an asset, in the order in which they were added. The text lies in the object store.
CREATE TABLE subtitles (
    seq           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant        TEXT    COLLATE "C" NOT NULL,
    asset_seq     BIGINT  NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    name          TEXT    COLLATE "C" NOT NULL,
    language      TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('subtitle', 'caption', 'forced')),
    title         TEXT,
    is_default    BOOLEAN NOT NULL,
    object_key    TEXT    NOT NULL,
    size_bytes    BIGINT  NOT NULL CHECK (size_bytes >= 0),
    sha256        TEXT    NOT NULL,
    cues          BIGINT  NOT NULL CHECK (cues >= 0),
    created_at_us BIGINT  NOT NULL,
    UNIQUE (asset_seq, name)
);

-- What was deleted: while `done_at_us` is null its objects have still to be removed from the store; after that the
-- row stays, so that a late call about the asset cannot bring it back without its bytes.
CREATE TABLE deletions (
    asset_id      TEXT   COLLATE "C" PRIMARY KEY,
    tenant        TEXT   COLLATE "C" NOT NULL,
    deleted_at_us BIGINT NOT NULL,
    due_at_us     BIGINT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    error         TEXT,
    done_at_us    BIGINT
);

CREATE INDEX deletions_due ON deletions (due_at_us) WHERE done_at_us IS NULL;

-- Single objects that nothing names any more, until they have left the store. Keys are never used twice.
CREATE TABLE removals (
    object_key TEXT   COLLATE "C" PRIMARY KEY,
    tenant     TEXT   COLLATE "C" NOT NULL,
    asset_id   TEXT   NOT NULL,
    due_at_us  BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    error      TEXT
);

CREATE INDEX removals_due ON removals (due_at_us);

-- What surrogates have still to be told to forget: the group `tag` of what they serve as `name`.
CREATE TABLE purges (
    seq       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant    TEXT   COLLATE "C" NOT NULL,
    name      TEXT   NOT NULL,
    tag       TEXT   NOT NULL,
    due_at_us BIGINT NOT NULL,
    attempts  BIGINT NOT NULL DEFAULT 0,
    error     TEXT
);

CREATE INDEX purges_due ON purges (due_at_us);
