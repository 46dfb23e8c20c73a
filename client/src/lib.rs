//! Authorization decisions, of a sidecar or in your own process.
//!
//! Invariant (ONLY-ALLOW-ALLOWS): [`Decision::Allow`] comes of a whole, understood allow, and of nothing else but what
//! [`Builder::fail_open`] lists.
#![doc = ""]
#![doc = include_str!("../README.md")]

mod authorizer;
mod builder;
mod cache;
mod call;
mod client;
mod convert;
mod decision;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "enforce")]
pub mod enforce;
mod error;
#[cfg(feature = "embedded")]
pub mod hybrid;
mod observer;
mod pipeline;
mod request;
#[cfg(feature = "test-util")]
pub mod testing;
mod token;
mod transport;

pub use authorizer::{AnyAuthorizer, Authorizer, Question};
pub use builder::Builder;
pub use cache::Cache;
pub use client::{Client, Health};
pub use decision::{Answer, Decision, Denied, Layer, Permit, Reason, Statement};
#[cfg(feature = "embedded")]
pub use embedded::Embedded;
pub use error::{Error, Violation};
#[cfg(feature = "embedded")]
pub use hybrid::Hybrid;
pub use observer::{Event, Observer};
pub use pipeline::Pipeline;
pub use request::{Request, Session, Value};
/// The code of [`Error::Refused`].
pub use tonic::Code;

/// The wire messages, for callers that need all of an answer (the trace, the diagnostics).
pub use portcullis_proto::v1 as wire;
