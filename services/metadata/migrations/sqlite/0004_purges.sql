-- What surrogates have still to be told to forget: the group `tag` of what they serve as `name`.
CREATE TABLE purges (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    tag       TEXT    NOT NULL,
    due_at_us INTEGER NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 0,
    error     TEXT
) STRICT;

CREATE INDEX purges_due ON purges (due_at_us);
