-- What was measured of the media of each asset, by the job that measured it. A release that does not know the table leaves it
-- alone.
CREATE TABLE scores (
    seq       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant    TEXT   COLLATE "C" NOT NULL,
    asset_seq BIGINT NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    job_id    TEXT   COLLATE "C" NOT NULL,
    score     JSONB  NOT NULL,
    UNIQUE (asset_seq, job_id)
);

CREATE INDEX scores_by_asset ON scores (asset_seq, seq);
