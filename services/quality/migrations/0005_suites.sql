-- What runs of suites found, as callers told it. `seq` is the order in which it was told. Times are microseconds since the Unix epoch.
CREATE TABLE suite_runs (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant         TEXT    NOT NULL,
    suite          TEXT    NOT NULL,
    id             TEXT    NOT NULL,
    -- All that was told (JSON).
    run            TEXT    NOT NULL CHECK (json_valid(run)),
    -- Its cases by what became of them.
    passed         INTEGER NOT NULL,
    failed         INTEGER NOT NULL,
    not_measured   INTEGER NOT NULL,
    received_at_us INTEGER NOT NULL,

    UNIQUE (tenant, id)
) STRICT;

CREATE INDEX suite_runs_by_suite ON suite_runs (tenant, suite, seq);
