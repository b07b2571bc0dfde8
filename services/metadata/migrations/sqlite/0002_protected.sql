-- Whether viewers need a signed URL. A release that does not know the column serves what it protects to everybody, so
-- it is to be protected only where none runs any more.
ALTER TABLE assets ADD COLUMN protected INTEGER NOT NULL DEFAULT 0 CHECK (protected IN (0, 1));
