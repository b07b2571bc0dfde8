-- The version of the asset that was measured, where it was of one; and since when the catalogue knows what was measured.
ALTER TABLE jobs ADD COLUMN version TEXT;
ALTER TABLE jobs ADD COLUMN told_at_us INTEGER;

-- Of what the catalogue is to be told, in the very words of the query.
CREATE INDEX jobs_to_tell ON jobs (seq) WHERE state = 'succeeded' AND asset_id IS NOT NULL AND told_at_us IS NULL;
