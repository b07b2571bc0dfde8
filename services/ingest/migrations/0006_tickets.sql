-- Signed requests that bring an upload's bytes to the store: good until they end, also where their upload ends before.
CREATE TABLE tickets (
    upload_id  TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    sha256     TEXT,                            -- that was promised, lower-case hex; NULL: none was
    ends_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_ending ON tickets (ends_at_ms);
