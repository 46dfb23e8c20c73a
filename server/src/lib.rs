//! The gRPC process as a library: bind, serve, drain.
//!
//! It decodes, asks the engine, records and encodes; it decides nothing. Read `app` for the wiring and
//! `grpc/authorization` for the five steps of one request.
//!
//! Invariant (ONE-SNAPSHOT): every answer comes from exactly one snapshot, taken once and let go of before any wait.

pub mod accept;
pub mod app;
pub mod audit;
mod clock;
pub mod config;
mod connection;
mod credentials;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod http;
pub mod lifecycle;
mod metrics;
mod readiness;
mod shutdown;
mod state;
mod supervise;
mod tally;
pub mod telemetry;
mod tls;
mod token;
mod worker;

pub use accept::{BindError, Listeners};
pub use app::{Outcome, ServeError, Surroundings, run, run_until};
pub use config::{Config, ConfigError, Finding, LoadModeName, Reflection, Startup, UdsAccess};
pub use credentials::CredentialsError;
pub use lifecycle::{Lifecycle, Reconfigured};
pub use telemetry::{Telemetry, TelemetryError};
pub use worker::background_runtime;
