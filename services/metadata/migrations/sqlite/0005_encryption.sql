-- How media is encrypted on its way to viewers; NULL: it is not. A release that does not know the column sends it in the clear,
-- so it is to be encrypted only where none runs any more.
ALTER TABLE assets ADD COLUMN encryption TEXT CHECK (encryption IN ('aes-128', 'sample-aes'));
