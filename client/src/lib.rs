//! Ask for authorization decisions.
//!
//! ```no_run
//! # async fn guarded() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_client::{Authorizer, Client};
//!
//! let alice = "arn:aws:iam::123456789012:user/alice";
//! let order = "arn:acme:orders:eu-1:123456789012:order/42";
//!
//! let client = Client::connect("unix:/run/portcullis/portcullis.sock").await?;
//! let decision = client.authorize(alice, "orders:GetOrder", order).context("aws:MultiFactorAuthPresent", true).await?;
//! let permit = decision.require()?;
//! # Ok(()) }
//! ```

mod authorizer;
mod builder;
mod cache;
mod call;
mod client;
mod convert;
mod decision;
#[cfg(feature = "enforce")]
pub mod enforce;
mod error;
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
pub use error::{Error, Violation};
pub use observer::{Event, Observer};
pub use pipeline::Pipeline;
pub use request::{Request, Session, Value};

/// The wire messages, for callers that need all of an answer (the trace, the diagnostics).
pub use portcullis_proto::v1 as wire;
