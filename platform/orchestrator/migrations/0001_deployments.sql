CREATE TABLE deployments (
    tenant TEXT NOT NULL,
    sfc TEXT NOT NULL,
    sfci TEXT NOT NULL,
    -- What was asked for, and how far its endpoints are, as one JSON value: written whole at each step.
    record TEXT NOT NULL,
    PRIMARY KEY (tenant, sfc, sfci)
) STRICT;

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    sfc TEXT NOT NULL,
    sfci TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    subject TEXT NOT NULL,
    action TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX decisions_of ON decisions (tenant, sfc, sfci, id);
