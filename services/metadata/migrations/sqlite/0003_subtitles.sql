-- Subtitles of an asset, in the order in which they were added. The text lies in the object store.
CREATE TABLE subtitles (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant        TEXT    NOT NULL,
    asset_seq     INTEGER NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    language      TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('subtitle', 'caption', 'forced')),
    title         TEXT,
    is_default    INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    object_key    TEXT    NOT NULL,
    size_bytes    INTEGER NOT NULL CHECK (size_bytes >= 0),
    sha256        TEXT    NOT NULL,
    cues          INTEGER NOT NULL CHECK (cues >= 0),
    created_at_us INTEGER NOT NULL,
    UNIQUE (asset_seq, name)
) STRICT;

-- Single objects that nothing names any more, until they have left the store. Keys are never used twice.
CREATE TABLE removals (
    object_key    TEXT    PRIMARY KEY,
    tenant        TEXT    NOT NULL,
    asset_id      TEXT    NOT NULL,
    due_at_us     INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    error         TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX removals_due ON removals (due_at_us);
