//! Integration tests of the engine: one binary, one module for each subject.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod differential;
#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from finds and character indices")]
mod generator;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod large;
#[cfg(test)]
mod laws;
#[cfg(test)]
#[expect(clippy::string_slice, reason = "places come from finds and character indices")]
mod reference;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod simulate;
