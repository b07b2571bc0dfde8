-- Tenants take turns: whose turn it is stands in these. (`jobs_to_work` is what the release before looks by.)
CREATE INDEX jobs_of_tenant_to_work ON jobs (tenant, seq) WHERE lease_owner IS NULL AND state = 'queued';
CREATE INDEX jobs_of_tenant_held ON jobs (tenant) WHERE lease_owner IS NOT NULL;
CREATE INDEX jobs_of_tenant_served ON jobs (tenant, started_at_us);
