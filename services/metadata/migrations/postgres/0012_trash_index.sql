-- The trash is listed by itself, newest first: without this, by looking at the tenant's whole catalogue.
CREATE INDEX assets_in_trash ON assets (tenant, seq) WHERE deleted_at_us IS NOT NULL;
