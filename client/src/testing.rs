//! For the tests of services that ask: an authorizer that follows a script and remembers what it was asked.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
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
//! assert!(pdp.clone().authorize(alice, "orders:GetOrder", order).await?.is_allowed());
//!
//! pdp.assert_asked(alice, "orders:GetOrder", order);
//! pdp.assert_not_asked("*", "orders:Delete*", "*");
//!
//! // Or policies answer, and the script what it has a rule for.
//! let pdp = Fake::from_json(r#"{"UserDetailList": [{"UserName": "alice",
//!     "Arn": "arn:aws:iam::111122223333:user/alice",
//!     "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17",
//!         "Statement": {"Effect": "Allow", "Action": "orders:*", "Resource": "arn:acme:orders:*:*:order/4?"}}}]}]}"#)?
//!     .deny("orders:Delete*", "*");
//! assert!(pdp.authorize(alice, "orders:GetOrder", order).await?.is_allowed());
//! assert!(!pdp.authorize(alice, "orders:DeleteOrder", order).await?.is_allowed());
//! # Ok(()) }
//! ```
//!
//! A question that a sidecar would refuse is refused whatever the script says, so that a test does not pass with a malformed
//! ARN or a context key that only the engine may set.

mod fake;

pub use fake::{Fake, Verdict};
