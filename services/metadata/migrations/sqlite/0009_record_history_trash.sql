-- What people say of an asset (JSON, by the names of schema.org), and the fields of an experimenter's own (JSON).
ALTER TABLE assets ADD COLUMN record TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(record));
ALTER TABLE assets ADD COLUMN custom TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(custom));

-- When it was put into the trash; NULL: it was not. A release that does not know the column shows what is in the trash.
ALTER TABLE assets ADD COLUMN deleted_at_us INTEGER;
CREATE INDEX assets_present ON assets (tenant, seq) WHERE deleted_at_us IS NULL;
CREATE INDEX assets_trashed ON assets (deleted_at_us) WHERE deleted_at_us IS NOT NULL;

-- What became of each asset. `change` and `undo` are merge patches (JSON).
CREATE TABLE changes (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT    NOT NULL,
    asset_id TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    at_us    INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    detail   TEXT,
    change   TEXT    CHECK (change IS NULL OR json_valid(change)),
    undo     TEXT    CHECK (undo IS NULL OR json_valid(undo)),
    UNIQUE (asset_id, revision)
) STRICT;
