//! A question of the wire -> the engine's request, and the words for a question that gets no answer.
//!
//! A sidecar and a process that decides for itself read a question with this crate, so that one rule cannot have two
//! readings. It answers nothing, waits for nothing and reads no clock.

pub mod bytes;
mod decode;
mod message;
mod moment;
mod refused;
mod session_policy;

pub use decode::{Batch, Detail, Question, Wishes, authorize, batch, instant, kept};
pub use message::{BatchMessage, Context, Kept, Message, SessionMessage, Value};
pub use moment::{moment, since_epoch};
pub use refused::{Refused, shortened, summary};
pub use session_policy::SessionPolicyCache;
