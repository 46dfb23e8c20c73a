//! The numbers of this process in the Prometheus text format.
//!
//! Nothing is kept here: each scrape reads the counters where they are. Every name and every label value is fixed in
//! this folder. Invariant (NO-CALLER-TEXT): no label holds anything that a caller, a policy or a file name says; the one
//! label that is not from a fixed list is the policy revision, of which there is one at a time.

mod audit;
mod family;
mod policies;
mod process;
mod requests;

use std::fmt::Error;
use std::sync::Arc;

use portcullis_store::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use crate::audit::Audit;
use crate::config::Config;
use crate::grpc::Shared;
use crate::state::is_degraded;
use crate::tally::Tally;
use family::Families;

/// The content type of what [`Metrics::render`] gives.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Everything that a scrape reads.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(crate) fn new(shared: &Shared) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Reading {
            store: shared.store.clone(),
            tally: Arc::clone(&shared.tally),
            audit: shared.audit.clone(),
            config: Arc::clone(&shared.config),
        }));
        Self { registry }
    }

    /// One page.
    ///
    /// # Errors
    /// When the page cannot be written, which memory alone rules out.
    pub(crate) fn render(&self) -> Result<String, Error> {
        let mut page = String::with_capacity(16 << 10);
        prometheus_text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[derive(Debug)]
struct Reading {
    store: Store,
    tally: Arc<Tally>,
    audit: Audit,
    config: Arc<Config>,
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut families = Families::new(encoder);
        let Self { store, tally, audit, config } = self;
        let status = store.status();
        requests::write(&mut families, tally, config.connections_max)?;
        policies::write(&mut families, &status, config.stale_max())?;
        let help = "1 while something is wrong although requests are answered; the status page says what";
        let degraded = is_degraded(&status, tally, audit);
        families.gauge("portcullis_degraded", help, f64::from(u8::from(degraded)))?;
        audit::write(&mut families, audit, config.audit_queue_records_max)?;
        process::write(&mut families, tally)
    }
}
