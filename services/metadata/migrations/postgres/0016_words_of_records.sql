-- What is searched besides title and file name: the words of the record's texts, and what words come from in the record's languages. NULL:
-- not made yet; the service makes them behind, also of what a release wrote that does not know the columns. `words` holds them, too.
ALTER TABLE assets ADD COLUMN record_words TEXT;
ALTER TABLE assets ADD COLUMN stems TEXT;
CREATE INDEX assets_unread ON assets (seq) WHERE stems IS NULL AND record <> '{}';

-- A release that does not know the columns writes `words` without them: what it has edited is read again. It shows by words of the record
-- (weight C) that are others while the columns stay, or by another record (which this release may write, too, where neither has words: it
-- is read once more).
CREATE FUNCTION assets_unread_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.stems := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER assets_unread_again BEFORE UPDATE OF words ON assets FOR EACH ROW
    WHEN (NEW.stems IS NOT NULL AND NEW.stems IS NOT DISTINCT FROM OLD.stems AND NEW.record_words IS NOT DISTINCT FROM OLD.record_words
          AND (strip(ts_filter(NEW.words, '{c}')) IS DISTINCT FROM strip(ts_filter(OLD.words, '{c}'))
               OR (NEW.record_words = '' AND NEW.stems = '' AND NEW.record IS DISTINCT FROM OLD.record)))
    EXECUTE FUNCTION assets_unread_again();
