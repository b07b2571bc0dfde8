-- What became of the assets of each tenant, in one order: position 1, 2, 3, … Written in the transaction of the change; the
-- oldest go. A release that does not know the table leaves its changes out of the feed.
CREATE TABLE feed (
    tenant   TEXT   COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    at_us    BIGINT NOT NULL,
    asset_id TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    action   TEXT   NOT NULL,
    detail   TEXT,
    PRIMARY KEY (tenant, position)
);

-- What others call an asset (`record.identifier`), to find it by.
CREATE INDEX assets_identifiers ON assets USING GIN ((record -> 'identifier') jsonb_path_ops);

-- Which assets have the same source.
CREATE INDEX assets_by_source ON assets (tenant, source_sha256);
