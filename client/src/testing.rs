//! For the tests of services that ask: an authorizer that follows a script and remembers what it was asked.
//!
//! ```
//! # async fn test() {
//! use portcullis_client::testing::Fake;
//! use portcullis_client::{Authorizer as _, Error};
//!
//! let pdp = Fake::deny_all()
//!     .allow("orders:Get*", "arn:acme:orders:*:order/42")
//!     .fail("orders:Refund", "*", Error::Unreachable("as the test wants it".to_owned()));
//!
//! // The service under test gets a clone of it.
//! let alice = "arn:aws:iam::111122223333:user/alice";
//! let order = "arn:acme:orders:eu-1:111122223333:order/42";
//! assert!(pdp.clone().authorize(alice, "orders:GetOrder", order).await.unwrap().is_allowed());
//!
//! pdp.assert_asked(alice, "orders:GetOrder", order);
//! pdp.assert_not_asked("*", "orders:Delete*", "*");
//! # }
//! ```
//!
//! It evaluates no policies: what a policy says is tested against the engine.

mod fake;

pub use fake::{Fake, Verdict};
