//! Ask a Portcullis sidecar for authorization decisions.
//!
//! ```no_run
//! # async fn guarded() -> Result<(), portcullis_client::Error> {
//! use portcullis_client::{Client, Request};
//!
//! let client = Client::connect("http://127.0.0.1:8180").await?;
//! let request = Request::new(
//!     "arn:aws:iam::123456789012:user/alice",
//!     "orders:GetOrder",
//!     "arn:acme:orders:eu-1:123456789012:order/42",
//! )
//! .context("aws:SourceIp", "10.0.0.7");
//! let decision = client.authorize(request).await?;
//! if !decision.is_allowed() {
//!     println!("{}", decision.message);
//! }
//! # Ok(()) }
//! ```
//!
//! Invariant (ONLY-ALLOW-ALLOWS): [`Decision::is_allowed`] is true for one answer only: a whole, understood Allow.
//! Whatever else comes back, or nothing, is a deny or an [`Error`], and an error must be read as a refusal.

mod builder;
mod client;
mod convert;
mod decision;
mod error;
mod request;
mod security;

pub use builder::Builder;
pub use client::{Client, Health};
pub use decision::{Decision, Layer, Reason, Statement};
pub use error::{Error, Violation};
pub use request::{Request, Session, Value};

/// The wire messages, for callers that need all of an answer (the trace, the diagnostics).
pub use portcullis_proto::v1 as wire;
