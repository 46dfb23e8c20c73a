//! A policy directory as the current immutable snapshot: read, build, watch, reload, publish.
//!
//! One task ([`reload`](self)) owns everything that changes; readers see one pointer. Invariant *last good*: whatever
//! happens to the directory, [`Store::current`] only ever moves from one completely valid policy set to another.
//! This crate opens no sockets and knows no wire format; it is the only user of `notify` and of `arc-swap`.

mod build;
mod change;
mod feed;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod last_good;
mod layout;
mod published;
mod read;
mod reload;
mod snapshot;
mod status;
mod store;
mod supervise;
mod watch;

pub use build::{DirectoryLoad, load_directory};
pub use change::{Change, Step};
pub use feed::{Delivery, Feed, FeedError};
pub use last_good::StateOptions;
pub use layout::Limits;
pub use snapshot::{Damaged, InvalidRevision, Revision, Snapshot};
pub use status::{Keeping, Origin, Rejection, Reloads, Status};
pub use store::{Store, StoreOptions};
