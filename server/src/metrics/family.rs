//! Writing one family of metrics after another.
//!
//! Names of counters come without `_total`; the format adds it.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Labels of one value.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// The page being written.
pub(super) struct Families<'e>(DescriptorEncoder<'e>);

impl<'e> Families<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    /// A counter with one value.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    /// The same for a value with a fraction.
    pub(super) fn counter_f64(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, f64, f64>(&value, None)
    }

    /// A counter with one value for each of its labels.
    pub(super) fn counters<'a>(&'a mut self, name: &'a str, help: &str) -> Result<Counters<'a>, Error> {
        Ok(Counters(self.0.encode_descriptor(name, help, None, MetricType::Counter)?))
    }

    /// A gauge with one value.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    /// A gauge that only carries labels; its value is 1.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &Labels<'_>) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_family(&labels)?.encode_gauge(&1_u64)
    }

    /// A histogram from its sum, its count and each bucket's upper bound with its own count.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        (sum, count, buckets): (f64, u64, Vec<(f64, u64)>),
    ) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// A counter family being written.
pub(super) struct Counters<'e>(MetricEncoder<'e>);

impl Counters<'_> {
    pub(super) fn value(&mut self, labels: &Labels<'_>, value: u64) -> Result<(), Error> {
        self.0.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }
}
