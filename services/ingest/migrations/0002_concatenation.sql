-- Concatenation (tus 1.0): uploads that are parts of another one, and those that are made of parts.

-- Upload-Concat as it came: `partial`, or `final;` and the URLs of the partial uploads. NULL: neither.
ALTER TABLE uploads ADD COLUMN concat TEXT;
-- Of a final upload: when the work of joining is to be tried; NULL: there is none. Not `due_at_ms`, which the release before takes for a
-- pull's while an upload is `receiving`.
ALTER TABLE uploads ADD COLUMN join_at_ms INTEGER;

CREATE INDEX uploads_joining ON uploads (join_at_ms) WHERE join_at_ms IS NOT NULL;

-- Which partial uploads a final one is made of. One belongs to one final upload at most.
CREATE TABLE joins (
    final_id   TEXT    NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,                -- from 0
    partial_id TEXT    NOT NULL UNIQUE REFERENCES uploads (id) ON DELETE CASCADE,
    tenant     TEXT    NOT NULL,
    PRIMARY KEY (final_id, position)
) STRICT, WITHOUT ROWID;
