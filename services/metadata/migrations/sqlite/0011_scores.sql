-- What was measured of the media of each asset (JSON), by the job that measured it. A release that does not know the table
-- leaves it alone.
CREATE TABLE scores (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant    TEXT    NOT NULL,
    asset_seq INTEGER NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    job_id    TEXT    NOT NULL,
    score     TEXT    NOT NULL CHECK (json_valid(score)),
    UNIQUE (asset_seq, job_id)
) STRICT;

CREATE INDEX scores_by_asset ON scores (asset_seq, seq);
