//! The store as a process uses it: directories that change in every way people and machines change them.
//!
//! No test measures time. Each waits for the state it expects, and fails only when that state does not come at all.

#[cfg(test)]
mod change;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod log;
#[cfg(test)]
mod mistake;
#[cfg(test)]
mod start;
#[cfg(test)]
mod state;
