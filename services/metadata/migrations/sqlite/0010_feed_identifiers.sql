-- What became of the assets of each tenant, in one order: position 1, 2, 3, … Written in the transaction of the change; the
-- oldest go. A release that does not know the table leaves its changes out of the feed.
CREATE TABLE feed (
    tenant   TEXT    NOT NULL,
    position INTEGER NOT NULL,
    at_us    INTEGER NOT NULL,
    asset_id TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    detail   TEXT,
    PRIMARY KEY (tenant, position)
) STRICT, WITHOUT ROWID;

-- What others call an asset (`record.identifier`), to find it by. Kept by triggers, so also by a release that does not know it.
CREATE TABLE identifiers (
    tenant    TEXT    NOT NULL,
    scheme    TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    asset_seq INTEGER NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    PRIMARY KEY (tenant, scheme, value, asset_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX identifiers_by_asset ON identifiers (asset_seq);

INSERT OR IGNORE INTO identifiers (tenant, scheme, value, asset_seq)
SELECT a.tenant, json_extract(i.value, '$.propertyID'), json_extract(i.value, '$.value'), a.seq
FROM assets a, json_each(a.record, '$.identifier') i;

CREATE TRIGGER identifiers_update AFTER UPDATE OF record ON assets WHEN old.record <> new.record BEGIN
    DELETE FROM identifiers WHERE asset_seq = new.seq;
    INSERT OR IGNORE INTO identifiers (tenant, scheme, value, asset_seq)
    SELECT new.tenant, json_extract(i.value, '$.propertyID'), json_extract(i.value, '$.value'), new.seq
    FROM json_each(new.record, '$.identifier') i;
END;

-- Which assets have the same source.
CREATE INDEX assets_by_source ON assets (tenant, source_sha256);
