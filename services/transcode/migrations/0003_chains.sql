-- The document of the chain as it was when the job was queued (a job without one is of an older release: its chain's name
-- says all), and the values that were given to its parameters (JSON, an object).
ALTER TABLE jobs ADD COLUMN document TEXT;
ALTER TABLE jobs ADD COLUMN parameters TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(parameters));
-- How far each stage of the chain is (JSON, a list), in the current or last attempt.
ALTER TABLE jobs ADD COLUMN stages TEXT CHECK (stages IS NULL OR json_valid(stages));
-- How the version was made (JSON), once its tracks are stored: for the catalogue.
ALTER TABLE jobs ADD COLUMN conditioning TEXT CHECK (conditioning IS NULL OR json_valid(conditioning));
