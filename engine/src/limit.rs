//! Every number that bounds what comes from outside (reliability.md section 4).

/// Bytes of one source text.
pub const SOURCE_BYTES_MAX: usize = 64 << 20;
/// Nesting depth of a source text.
pub const JSON_DEPTH_MAX: usize = 32;
/// Characters of a request's principal or resource.
pub const RESOURCE_CHARS_MAX: usize = 2048;
/// Characters of a request's action.
pub const ACTION_CHARS_MAX: usize = 128;
/// Characters of a context key.
pub const KEY_CHARS_MAX: usize = 512;
/// Context entries of a request.
pub const CONTEXT_KEYS_MAX: usize = 256;
/// Values of all context entries of a request together.
pub const CONTEXT_VALUES_MAX: usize = 1024;
/// Characters of one context value.
pub const VALUE_CHARS_MAX: usize = 8192;
/// Session tags of a request (T-33).
pub const SESSION_TAGS_MAX: usize = 50;
/// Managed session policies of a request (G-58).
pub const SESSION_POLICY_ARNS_MAX: usize = 10;
/// Missing context keys that a decision names; more would tell nobody more.
pub const MISSING_KEYS_MAX: usize = 100;
/// Pattern-matching steps of one evaluation; more is a deny with its own reason.
pub const EVALUATION_STEPS_MAX: u32 = 4_000_000;
