//! Flags that say how tenants are told apart.

use crate::settings::{DEFAULT_TENANT, Tenancy};

/// Flags that say how tenants are told apart.
#[derive(Debug, Clone, clap::Args)]
pub struct TenantFlags {
    /// Header that names the tenant.
    #[arg(
        long = "query.tenant-header",
        value_name = "HEADER",
        default_value = "THANOS-TENANT"
    )]
    pub header: String,
    /// Tenant of requests without it.
    #[arg(
        long = "query.default-tenant-id",
        value_name = "TENANT",
        default_value = DEFAULT_TENANT
    )]
    pub default_tenant: String,
    /// Show tenants only series that bear their name.
    #[arg(long = "query.enforce-tenancy")]
    pub enforce: bool,
    /// Label that names the tenant of a series.
    #[arg(
        long = "query.tenant-label-name",
        value_name = "LABEL",
        default_value = "tenant_id"
    )]
    pub label: String,
}

impl TenantFlags {
    /// How tenants are told apart.
    pub(super) fn resolve(self) -> Tenancy {
        Tenancy {
            header: self.header,
            default_tenant: self.default_tenant,
            is_enforced: self.enforce,
            label: self.label,
        }
    }
}
