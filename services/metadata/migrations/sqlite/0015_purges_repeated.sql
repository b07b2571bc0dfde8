-- How often some surrogates were told of a purge while others may not have been, and by which identifier they know its repeats. What was noted
-- before gets one now; what an older release notes has none, and gets that of its first answer.
ALTER TABLE purges ADD COLUMN partly INTEGER NOT NULL DEFAULT 0;
ALTER TABLE purges ADD COLUMN id TEXT;
UPDATE purges SET id = lower(hex(randomblob(16)));

CREATE INDEX purges_turn ON purges (partly, attempts, due_at_us);
