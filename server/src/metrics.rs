//! The numbers of this process in the Prometheus text format.
//!
//! Nothing is kept here: each scrape reads the counters where they are. Every name and every label value is fixed in
//! this folder. Invariant (NO-CALLER-TEXT): no label holds anything that a caller, a policy or a file name says; the one
//! label that is not from a fixed list is the policy revision, of which there is one at a time.

mod family;
mod policies;
mod process;
mod requests;

use std::fmt::Error;
use std::sync::Arc;
use std::time::Duration;

use portcullis_store::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use crate::config::Config;
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
    pub(crate) fn new(store: Store, tally: Arc<Tally>, config: &Config) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Reading {
            store,
            tally,
            connections_max: config.connections_max,
            stale_max: config.stale_max(),
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
    connections_max: usize,
    stale_max: Option<Duration>,
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut families = Families::new(encoder);
        requests::write(&mut families, &self.tally, self.connections_max)?;
        policies::write(&mut families, &self.store.status(), self.stale_max)?;
        process::write(&mut families, &self.tally)
    }
}
