//! The client against a real server, and against peers that are none.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends with the first surprise")]

mod cached;
mod calls;
mod embedded;
mod enforce;
mod enforce_axum;
mod enforce_tonic;
mod hybrid;
mod proof;
mod sidecar;
mod testing;
mod trouble;
