-- The thumbnails of the version (JSON), once they are stored.
ALTER TABLE jobs ADD COLUMN thumbnails TEXT CHECK (thumbnails IS NULL OR json_valid(thumbnails));
