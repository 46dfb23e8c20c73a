//! Conditions: the operators, the keys, their values, and how they are evaluated.

pub mod key;
mod operator;
pub mod value;

pub use operator::{Family, Operator, Qualifier};
