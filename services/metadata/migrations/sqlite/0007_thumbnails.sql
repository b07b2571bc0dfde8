-- Sheets of small pictures (JSON); none where the version has none.
ALTER TABLE versions ADD COLUMN thumbnails TEXT CHECK (thumbnails IS NULL OR json_valid(thumbnails));
