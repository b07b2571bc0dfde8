-- How far each webhook has come in its tenant's feed, and which process tells it until when. A release that does not know the table
-- tells nobody.
CREATE TABLE webhooks (
    tenant        TEXT NOT NULL,
    name          TEXT NOT NULL,
    position      INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    due_at_us     INTEGER NOT NULL DEFAULT 0,
    error         TEXT,
    holder        TEXT,
    held_until_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, name)
) STRICT;
