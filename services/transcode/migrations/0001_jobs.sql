-- Conditioning jobs. Times are microseconds since the Unix epoch; ids are lower-case hyphenated UUIDs.

-- `seq` is the order in which jobs were queued: workers take them and lists walk them by it.
CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant           TEXT    NOT NULL,
    id               TEXT    NOT NULL,
    chain            TEXT    NOT NULL,
    asset_id         TEXT    NOT NULL,
    source_key       TEXT    NOT NULL,
    probe            TEXT    NOT NULL CHECK (json_valid(probe)),
    -- Higher ones are taken first.
    priority         INTEGER NOT NULL DEFAULT 0,

    -- Where it stands (src/job.rs).
    phase            TEXT    NOT NULL CHECK (phase IN ('queued', 'running', 'publishing', 'failing', 'cancelling',
                                                       'succeeded', 'failed', 'cancelled')),
    -- What callers are told of it.
    state            TEXT    NOT NULL GENERATED ALWAYS AS (
        CASE WHEN phase IN ('running', 'publishing', 'failing', 'cancelling') THEN 'running' ELSE phase END
    ) VIRTUAL,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    attempt          INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,
    due_at_us        INTEGER NOT NULL,
    lease_number     INTEGER NOT NULL DEFAULT 0,
    lease_owner      TEXT,
    lease_until_us   INTEGER,
    error            TEXT,

    -- How far it is.
    progress         REAL    NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    stage            TEXT    NOT NULL,
    -- The tracks of the version, once all of them are stored.
    tracks           TEXT    CHECK (tracks IS NULL OR json_valid(tracks)),

    created_at_us    INTEGER NOT NULL,
    started_at_us    INTEGER,
    finished_at_us   INTEGER,

    UNIQUE (tenant, id),
    CHECK ((lease_owner IS NULL) = (lease_until_us IS NULL))
) STRICT;

CREATE INDEX jobs_by_tenant ON jobs (tenant, seq);
CREATE INDEX jobs_by_state ON jobs (tenant, state, seq);
CREATE INDEX jobs_by_asset ON jobs (tenant, asset_id, seq);
-- What workers look for, in the very words of their queries (SQLite uses a partial index only then), and what has been
-- taken: all of them stay as small as the work that is left.
CREATE INDEX jobs_to_work ON jobs (priority DESC, seq) WHERE lease_owner IS NULL AND phase IN ('queued', 'publishing');
CREATE INDEX jobs_to_close ON jobs (priority DESC, seq) WHERE lease_owner IS NULL AND phase IN ('failing', 'cancelling');
CREATE INDEX jobs_held ON jobs (lease_until_us) WHERE lease_owner IS NOT NULL;
