//! The gRPC process as a library: bind, serve, drain.
//!
//! It decodes, asks the engine, records and encodes; it decides nothing. Read `app` for the wiring and
//! `grpc/authorization` for the five steps of one request.
//!
//! Invariant (ONE-SNAPSHOT): every answer comes from exactly one snapshot, taken once and let go of before any wait.

pub mod accept;
pub mod app;
pub mod config;
mod connection;
mod grpc;
mod http;
mod metrics;
mod shutdown;
mod tally;
mod worker;

pub use accept::{BindError, Listeners};
pub use app::{Outcome, ServeError, run};
pub use config::{Config, ConfigError, LoadModeName};
