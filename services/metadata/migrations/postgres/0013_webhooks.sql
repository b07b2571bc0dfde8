-- How far each webhook has come in its tenant's feed, and which process tells it until when. A release that does not know the table
-- tells nobody.
CREATE TABLE webhooks (
    tenant        TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    position      BIGINT NOT NULL,
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at_us     BIGINT NOT NULL DEFAULT 0,
    error         TEXT,
    holder        TEXT,
    held_until_us BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, name)
);
