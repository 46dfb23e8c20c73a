//! The real process under faults, and under load for a long time.
//!
//! Starts `portcullis serve` again and again, breaks something around it, and asks it through its own interfaces: gRPC,
//! the pages, the audit file, the log. [`campaign`] injects named faults, each with its required outcome. It writes no
//! test double of the service and knows none of its internals. [`soak`] holds load for a long time while policies change.

mod attacks;
mod authority;
mod caller;
mod calls;
pub mod campaign;
mod catalogue;
mod config_map;
mod content;
mod ending;
mod fault;
mod files;
mod frames;
mod identity;
mod lab;
mod means;
mod neighbours;
mod page;
mod places;
mod policies;
mod process;
mod records;
mod report;
mod secrets;
mod sidecar;
pub mod soak;
mod system;
mod tracer;
mod trail;
mod trouble;
