-- What is searched besides title and file name: the words of the record's texts, and what words come from in the record's languages. NULL:
-- not made yet; the service makes them behind, also of what a release wrote that does not know the columns.
ALTER TABLE assets ADD COLUMN record_words TEXT;
ALTER TABLE assets ADD COLUMN stems TEXT;
CREATE INDEX assets_unread ON assets (seq) WHERE stems IS NULL AND record <> '{}';

-- The same index with two columns more: what an older release asks of it means the same.
DROP TRIGGER assets_text_insert;
DROP TRIGGER assets_text_delete;
DROP TRIGGER assets_text_update;
DROP TABLE assets_text;
CREATE VIRTUAL TABLE assets_text USING fts5 (
    title, file_name, tenant, record_words, stems,
    content = 'assets', content_rowid = 'seq', prefix = '1 2 3', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO assets_text (assets_text) VALUES ('rebuild');

CREATE TRIGGER assets_text_insert AFTER INSERT ON assets BEGIN
    INSERT INTO assets_text (rowid, title, file_name, tenant, record_words, stems)
    VALUES (new.seq, new.title, new.file_name, new.tenant, new.record_words, new.stems);
END;

CREATE TRIGGER assets_text_delete AFTER DELETE ON assets BEGIN
    INSERT INTO assets_text (assets_text, rowid, title, file_name, tenant, record_words, stems)
    VALUES ('delete', old.seq, old.title, old.file_name, old.tenant, old.record_words, old.stems);
END;

CREATE TRIGGER assets_text_update AFTER UPDATE OF title, file_name, tenant, record_words, stems ON assets BEGIN
    INSERT INTO assets_text (assets_text, rowid, title, file_name, tenant, record_words, stems)
    VALUES ('delete', old.seq, old.title, old.file_name, old.tenant, old.record_words, old.stems);
    INSERT INTO assets_text (rowid, title, file_name, tenant, record_words, stems)
    VALUES (new.seq, new.title, new.file_name, new.tenant, new.record_words, new.stems);
END;
