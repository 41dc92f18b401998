//! Ships the blocks of all tenants to a bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bucket::ship::{META_FILE_NAME, Shipper, ShipperConfig};
use bucket::{Bucket, HashFunction};
use model::figure::Figure;
use parking_lot::Mutex;
use runtime::Clock;
use runtime::metrics::{Collect, Exposition, LabelPairs};
use runtime::process::Shutdown;
use tokio::time::{MissedTickBehavior, interval};

use crate::storage::{Layout, Tenant, Tenants};

/// How often directories are looked at, as in Thanos.
const SHIP_EVERY: Duration = Duration::from_secs(30);

/// Ships the blocks of all tenants.
pub(crate) struct Shipping {
    bucket: Bucket,
    tenants: Arc<Tenants>,
    clock: Arc<dyn Clock>,
    hash: HashFunction,
    /// By tenant.
    shippers: Mutex<BTreeMap<Arc<str>, OfTenant>>,
}

/// What ships the blocks of a tenant, and goes with it.
struct OfTenant {
    tenant: Weak<Tenant>,
    shipper: Arc<Shipper>,
}

impl OfTenant {
    fn is_there(&self) -> bool {
        self.tenant.strong_count() > 0
    }
}

impl fmt::Debug for Shipping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipping")
            .field("bucket", &self.bucket.name())
            .finish_non_exhaustive()
    }
}

impl Shipping {
    pub(crate) fn new(
        bucket: Bucket,
        tenants: Arc<Tenants>,
        clock: Arc<dyn Clock>,
        hash: HashFunction,
    ) -> Self {
        Self {
            bucket,
            tenants,
            clock,
            hash,
            shippers: Mutex::default(),
        }
    }

    /// Ships now and then, until told to stop.
    pub(crate) async fn run(&self, mut shutdown: Shutdown) {
        let mut ticks = interval(SHIP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = ticks.tick() => self.ship_all().await,
            }
        }
    }

    /// Ships what is finished, of all tenants.
    pub(crate) async fn ship_all(&self) {
        (self.shippers.lock()).retain(|_, of| of.is_there());
        for tenant in self.tenants.all() {
            let made = || OfTenant {
                tenant: Arc::downgrade(&tenant),
                shipper: Arc::new(self.shipper(&tenant)),
            };
            let shipper = {
                let mut shippers = self.shippers.lock();
                let name = Arc::clone(&tenant.name);
                Arc::clone(&shippers.entry(name).or_insert_with(made).shipper)
            };
            self.ship(&tenant, &shipper).await;
        }
    }

    fn shipper(&self, tenant: &Tenant) -> Shipper {
        let config = ShipperConfig {
            dir: tenant.db.dir().to_owned(),
            source: "receive".to_owned(),
            state_file: META_FILE_NAME.to_owned(),
            // Those were merged while nothing shipped them.
            upload_compacted: true,
            allow_out_of_order: true,
            hash: self.hash,
        };
        Shipper::new(self.bucket.clone(), config)
    }

    async fn ship(&self, tenant: &Tenant, shipper: &Shipper) {
        let name = &*tenant.name;
        if tenant.labels.is_empty() {
            tracing::warn!(
                tenant = name,
                "blocks are not shipped: there are no external labels; say --label"
            );
            return;
        }
        let labels = tenant.labels.iter();
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        match shipper.sync(&labels.collect(), self.clock.now_ms()).await {
            Ok(shipped) => {
                for block in shipped.uploaded {
                    self.bucket.metrics().uploaded(self.clock.now_ms());
                    tracing::info!(tenant = name, %block, "shipped a block");
                }
                for (block, error) in shipped.failed {
                    tracing::error!(tenant = name, %block, %error, "cannot ship a block; trying again");
                }
                tenant.db.release(shipped.settled);
            }
            Err(error) => tracing::error!(tenant = name, %error, "cannot ship; trying again"),
        }
    }
}

impl Collect for Shipping {
    fn collect(&self, out: &mut Exposition) {
        let mut add = |figure: Figure<'_>| out.add(figure);
        self.bucket.metrics().visit(self.bucket.name(), &mut add);
        for (name, of_tenant) in &*self.shippers.lock() {
            if !of_tenant.is_there() {
                continue;
            }
            let label = [("tenant", &**name)];
            let of: LabelPairs<'_> = match self.tenants.options().layout {
                Layout::Single => &[],
                Layout::PerTenant => &label,
            };
            of_tenant.shipper.visit(of, &mut add);
        }
    }
}
