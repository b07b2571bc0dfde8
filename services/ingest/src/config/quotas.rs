//! `[quotas]`: what one tenant may have.

use std::collections::BTreeMap;

use flame_service_host::config::Bytes;
use serde::{Deserialize, Serialize};

/// `[quotas]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Bytes that a tenant's uploads and sources may have together; without it the disk is the bound.
    pub stored: Option<Bytes>,
    /// Uploads of a tenant that may be unfinished at once, partial ones and pulls included.
    pub open_uploads: u32,
    /// What is different for single tenants.
    pub tenants: BTreeMap<String, TenantQuota>,
}

/// `[quotas.tenants.NAME]`. What is not said is as for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantQuota {
    /// Bytes.
    pub stored: Option<Bytes>,
    /// Unfinished uploads.
    pub open_uploads: Option<u32>,
}

// === impl Quotas ===

impl Default for Quotas {
    fn default() -> Self {
        Self { stored: None, open_uploads: 1000, tenants: BTreeMap::new() }
    }
}

impl Quotas {
    /// Bytes that this tenant may have.
    #[must_use]
    pub fn stored_bytes(&self, tenant: &str) -> Option<u64> {
        let own = self.tenants.get(tenant).and_then(|quota| quota.stored);
        own.or(self.stored).map(|bytes| bytes.0)
    }

    /// Unfinished uploads that this tenant may have.
    #[must_use]
    pub fn open_uploads(&self, tenant: &str) -> u32 {
        self.tenants.get(tenant).and_then(|quota| quota.open_uploads).unwrap_or(self.open_uploads)
    }
}
