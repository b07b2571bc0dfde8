-- Comparisons and inspections. Times are microseconds since the Unix epoch; ids are lower-case hyphenated UUIDs.

-- `seq` is the order in which jobs were queued: workers take them and lists walk them by it. It also names the folder of a job's
-- files, so it is never given twice.
CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant           TEXT    NOT NULL,
    kind             TEXT    NOT NULL CHECK (kind IN ('comparison', 'inspection')),
    id               TEXT    NOT NULL,
    -- The asset whose media is scored or inspected, where it is of one.
    asset_id         TEXT,
    -- What was asked for (JSON).
    asked            TEXT    NOT NULL CHECK (json_valid(asked)),

    -- Where it stands (src/job.rs).
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
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
    -- What was measured (JSON), and what the gates say of it (JSON), once it was.
    result           TEXT    CHECK (result IS NULL OR json_valid(result)),
    gates            TEXT    CHECK (gates IS NULL OR json_valid(gates)),

    created_at_us    INTEGER NOT NULL,
    started_at_us    INTEGER,
    finished_at_us   INTEGER,

    UNIQUE (tenant, kind, id),
    CHECK ((lease_owner IS NULL) = (lease_until_us IS NULL))
) STRICT;

CREATE INDEX jobs_by_tenant ON jobs (tenant, kind, seq);
CREATE INDEX jobs_by_state ON jobs (tenant, kind, state, seq);
CREATE INDEX jobs_by_asset ON jobs (tenant, kind, asset_id, seq);
-- What workers look for, what has been taken, and what may be forgotten, in the very words of their queries (SQLite uses a partial
-- index only then).
CREATE INDEX jobs_to_work ON jobs (seq) WHERE lease_owner IS NULL AND state = 'queued';
CREATE INDEX jobs_held ON jobs (lease_until_us) WHERE lease_owner IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (seq) WHERE finished_at_us IS NOT NULL;
