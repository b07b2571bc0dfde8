-- What people say of an asset (by the names of schema.org), and the fields of an experimenter's own.
ALTER TABLE assets ADD COLUMN record JSONB NOT NULL DEFAULT '{}';
ALTER TABLE assets ADD COLUMN custom JSONB NOT NULL DEFAULT '{}';

-- When it was put into the trash; NULL: it was not. A release that does not know the column shows what is in the trash.
ALTER TABLE assets ADD COLUMN deleted_at_us BIGINT;
CREATE INDEX assets_present ON assets (tenant, seq) WHERE deleted_at_us IS NULL;
CREATE INDEX assets_trashed ON assets (deleted_at_us) WHERE deleted_at_us IS NOT NULL;

-- What became of each asset. `change` and `undo` are merge patches.
CREATE TABLE changes (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   TEXT   COLLATE "C" NOT NULL,
    asset_id TEXT   COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    at_us    BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    action   TEXT   NOT NULL,
    detail   TEXT,
    change   JSONB,
    undo     JSONB,
    UNIQUE (asset_id, revision)
);
