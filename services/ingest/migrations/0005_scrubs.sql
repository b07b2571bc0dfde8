-- Whether what is stored is what it was: how far the look at each tenant's objects has come.
CREATE TABLE scrubs (
    tenant      TEXT    NOT NULL PRIMARY KEY,
    is_running  INTEGER NOT NULL CHECK (is_running IN (0, 1)),
    began_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,                        -- of the last one; NULL: it is under way
    position    TEXT,                           -- the last key that was looked at
    objects     INTEGER NOT NULL DEFAULT 0,
    size_bytes  INTEGER NOT NULL DEFAULT 0,
    unverified  INTEGER NOT NULL DEFAULT 0      -- of which nothing was noted that they could be held against
) STRICT, WITHOUT ROWID;

-- Objects that are not what they were.
CREATE TABLE rot (
    tenant      TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    asset_id    TEXT,                           -- that it belongs to
    what        TEXT    NOT NULL,
    found_at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
