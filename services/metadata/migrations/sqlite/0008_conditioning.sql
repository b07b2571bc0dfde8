-- How exactly a version was made (JSON): digest of the chain's document, parameters, encoders, versions of tools. None of
-- what an older release published, and of channels that ended.
ALTER TABLE versions ADD COLUMN conditioning TEXT CHECK (conditioning IS NULL OR json_valid(conditioning));
