-- Each tenant keeps so many jobs that have ended: which one keeps more is seen in this.
CREATE INDEX jobs_of_tenant_ended ON jobs (tenant, seq) WHERE finished_at_us IS NOT NULL;
