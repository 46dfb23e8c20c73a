//! The built program, run as a user runs it: arguments in, text and exit codes out.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_trail;
mod check;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod diagnostics;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod image;
#[cfg(test)]
mod inject;
#[cfg(test)]
mod program;
#[cfg(test)]
mod question;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod sidecar;
#[cfg(test)]
mod simulate;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transport;
