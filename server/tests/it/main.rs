//! The server over real sockets: loopback or a Unix socket in a temporary directory, free ports, nothing left running.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends with the first surprise"
)]

mod age;
mod agreement;
mod audit;
mod authorize;
mod bounds;
mod certificates;
mod connection;
mod corpus;
mod exposition;
mod lifecycle;
mod metrics;
mod observability;
mod pages;
mod peers;
mod policy_set;
mod raw;
mod sidecar;
mod simulate;
mod tls;
mod tls_rotation;
mod tokens;
mod ways;
