//! The built program, run as a user runs it: arguments in, text and exit codes out.

mod check;
mod configuration;
mod program;
mod question;
mod sidecar;
mod simulate;
