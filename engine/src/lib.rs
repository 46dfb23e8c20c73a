//! The IAM language: parse -> validate -> compile -> authorize.
//!
//! Pure: text, time and facts are arguments. Building may fail with diagnostics; deciding cannot fail.
//! Start reading at `authorize`, the decision procedure on one screen.

mod arn;
mod authorize;
pub mod compile;
pub mod condition;
pub mod decision;
pub mod diagnostic;
pub mod directory;
mod evaluate;
mod explain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod json;
pub mod limit;
mod load;
mod pattern;
pub mod policy;
pub mod request;
mod word;

pub use compile::{Counts, PolicySet, PolicySetBuilder, SessionPolicies};
pub use condition::value::{Decimal, Instant};
pub use decision::{
    Decision, Effect, Explanation, Layer, LayerTrace, PrincipalRef, Reason, StatementRef, StatementTrace,
};
pub use diagnostic::{Code, Diagnostic, Position, Related, Severity, Span};
pub use load::{LoadMode, Loaded};
pub use request::{ContextValue, OwnedKeys, Request, RequestInput, Session, Violation};
