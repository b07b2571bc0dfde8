-- Looks into the file that have begun and not come back: a file that takes the whole service down with it is not looked into for ever.
ALTER TABLE uploads ADD COLUMN looks INTEGER NOT NULL DEFAULT 0;
