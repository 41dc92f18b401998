//! The local storage: a TSDB for each tenant, what keeps them small, and the Store over all of them.
//!
//! Reading order: [`tenants`] (who writes where), [`maintain`] (what happens on a timer),
//! [`order`] (series in the order in which they are shown), [`store`] (the Store), `frames`, `figures`.

mod figures;
mod frames;
pub mod maintain;
mod order;
pub mod store;
pub mod tenant_name;
pub mod tenants;
mod workers;

pub(crate) use maintain::every;
pub use maintain::{MaintenanceMetrics, maintain};
pub use store::TsdbStore;
pub use tenants::{Layout, SeriesLimits, StorageOptions, Tenant, Tenants};

#[cfg(test)]
mod testing;
