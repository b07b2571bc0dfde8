-- What a track of sound is for, its title, and which of the source's audio streams it is; and what was said of those streams
-- over what the source says (a JSON array).
ALTER TABLE tracks ADD COLUMN role TEXT NOT NULL DEFAULT 'main';
ALTER TABLE tracks ADD COLUMN title TEXT;
ALTER TABLE tracks ADD COLUMN source_sound INTEGER;
ALTER TABLE assets ADD COLUMN sound_labels TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(sound_labels));
