-- What is searched besides title and file name: the words of the record's texts, and what words come from in the record's languages. NULL:
-- not made yet; the service makes them behind, also of what a release wrote that does not know the columns. `words` holds them, too.
ALTER TABLE assets ADD COLUMN record_words TEXT;
ALTER TABLE assets ADD COLUMN stems TEXT;
CREATE INDEX assets_unread ON assets (seq) WHERE stems IS NULL AND record <> '{}';
