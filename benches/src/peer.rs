//! Other engines, asked the same: the statements of an account translated once, a question turned into their request.
//!
//! Each is given its best case: every principal has its own prepared set of the statements that apply to it, so that
//! nothing is looked for among the statements of others.

mod cedar;
mod iam;

pub use cedar::Cedar;
pub use iam::Iam;
