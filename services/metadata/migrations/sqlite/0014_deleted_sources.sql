-- Where the source of a deleted asset was: so who made the asset can tell it from somebody else's of the same id.
ALTER TABLE deletions ADD COLUMN source_key TEXT;
