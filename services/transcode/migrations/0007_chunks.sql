-- Pictures of jobs in chunks (src/chunks.rs), by what they are made of: whoever wants one that is there takes it. Times are
-- microseconds since the Unix epoch.
CREATE TABLE chunks (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant          TEXT    NOT NULL,
    key             TEXT    NOT NULL,
    -- What is to be encoded (JSON).
    task            TEXT    NOT NULL CHECK (json_valid(task)),
    -- One that is `gone` is being removed from the object store.
    state           TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed', 'gone')),
    -- Some job wants it until then; it says so again and again.
    wanted_until_us INTEGER NOT NULL,
    -- When some job wanted it last.
    used_at_us      INTEGER NOT NULL,
    due_at_us       INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    error           TEXT,
    is_inputs_fault INTEGER NOT NULL DEFAULT 0 CHECK (is_inputs_fault IN (0, 1)),
    -- The lease that made it, once it is done: its objects lie under that number.
    lease_number    INTEGER NOT NULL DEFAULT 0,
    -- Leases before the job that wants it now: they do not count against it.
    leases_before   INTEGER NOT NULL DEFAULT 0,
    lease_owner     TEXT,
    lease_until_us  INTEGER,
    progress        REAL    NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    -- What its objects take; before it is done, what they are expected to take.
    size_bytes      INTEGER NOT NULL,
    UNIQUE (tenant, key),
    CHECK ((lease_owner IS NULL) = (lease_until_us IS NULL))
) STRICT;

CREATE INDEX chunks_to_make ON chunks (seq) WHERE state = 'waiting';
CREATE INDEX chunks_of_tenant_held ON chunks (tenant) WHERE lease_owner IS NOT NULL;
CREATE INDEX chunks_by_use ON chunks (used_at_us);
