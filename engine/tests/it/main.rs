//! Integration tests of the engine: one binary, one module for each subject.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod reference;
