//! How much of a request a record may hold. What is longer is cut and says so.

/// Bytes of a name: a principal, an action, a resource, a key. More than the engine accepts of ASCII.
pub(super) const TEXT_BYTES_MAX: usize = 2_048;
/// Bytes of one context value, tag, Sid or other free text.
pub(super) const VALUE_BYTES_MAX: usize = 1_024;
/// Bytes of the sentence of a deny.
pub(super) const MESSAGE_BYTES_MAX: usize = 4_608;
/// Bytes after which no further context entry is begun.
pub(super) const CONTEXT_BYTES_MAX: usize = 16 << 10;
/// Values of one list.
pub(super) const LIST_VALUES_MAX: usize = 100;
/// Determining statements.
pub(super) const STATEMENTS_MAX: usize = 20;
