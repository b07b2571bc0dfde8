-- Quotas: what each tenant holds. Duplicates: uploads with the same bytes as an earlier one.

-- Bytes of the tenant's quota that this upload takes: the length promised, or what came; none once it is deleted, or where its bytes
-- are shared with another upload that counts them.
ALTER TABLE uploads ADD COLUMN holds_bytes INTEGER NOT NULL DEFAULT 0;
-- The upload of the tenant that had the same bytes first, of those that are still there.
ALTER TABLE uploads ADD COLUMN duplicate_of TEXT;
-- When it was looked last whether its source is still in the store: who deletes an asset tells the catalogue, not us.
ALTER TABLE uploads ADD COLUMN looked_at_ms INTEGER;

UPDATE uploads SET holds_bytes = coalesce(length_bytes, offset_bytes) WHERE stage NOT IN ('failed', 'gone');

CREATE INDEX uploads_of_content ON uploads (tenant, sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX uploads_duplicates ON uploads (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX uploads_to_look_at ON uploads (looked_at_ms) WHERE stage = 'done';

-- Kept by the database itself, so that no way of changing an upload can forget it.
CREATE TABLE usage (
    tenant       TEXT    NOT NULL PRIMARY KEY,
    stored_bytes INTEGER NOT NULL,
    open_uploads INTEGER NOT NULL               -- those that are `receiving`
) STRICT, WITHOUT ROWID;

INSERT INTO usage SELECT tenant, sum(holds_bytes), sum(stage = 'receiving') FROM uploads GROUP BY tenant;

CREATE TRIGGER usage_of_new AFTER INSERT ON uploads BEGIN
    INSERT INTO usage (tenant, stored_bytes, open_uploads) VALUES (NEW.tenant, NEW.holds_bytes, NEW.stage = 'receiving')
    ON CONFLICT (tenant) DO UPDATE SET stored_bytes = stored_bytes + excluded.stored_bytes,
                                       open_uploads = open_uploads + excluded.open_uploads;
END;

CREATE TRIGGER usage_of_changed AFTER UPDATE OF holds_bytes, stage ON uploads BEGIN
    UPDATE usage SET stored_bytes = stored_bytes + NEW.holds_bytes - OLD.holds_bytes,
                     open_uploads = open_uploads + (NEW.stage = 'receiving') - (OLD.stage = 'receiving')
    WHERE tenant = NEW.tenant;
END;

CREATE TRIGGER usage_of_deleted AFTER DELETE ON uploads BEGIN
    UPDATE usage SET stored_bytes = stored_bytes - OLD.holds_bytes, open_uploads = open_uploads - (OLD.stage = 'receiving')
    WHERE tenant = OLD.tenant;
END;
