//! The bytes of a record: a line that names the format, a digest of all that follows, and length-prefixed fields.
//!
//! Decoding believes no length before the digest has been checked, and none after it that the bytes do not have.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::StateError;
use crate::read::Source;
use crate::snapshot::{Packed, Revision};

const FORMAT: &[u8] = b"portcullis last good policy set, format 1\n";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A policy set as it was saved.
#[derive(Debug)]
pub(crate) struct Record {
    /// The version of the program that wrote it.
    pub(crate) version: String,
    /// The policy directory it was read from.
    pub(crate) policies: PathBuf,
    /// When it was last known to be what the directory holds.
    pub(crate) saved_at: SystemTime,
    /// The digest under which it was served.
    pub(crate) revision: Revision,
    /// Its files.
    pub(crate) sources: Vec<Source>,
}

/// Versions with the same leading number read each other's records; before 1.0 the second number leads.
pub(super) fn is_readable_here(version: &str) -> bool {
    let leading = |version: &str| {
        let mut parts = version.split('.').map(str::to_owned);
        match parts.next() {
            Some(zero) if zero == "0" => (zero, parts.next()),
            major => (major.unwrap_or_default(), None),
        }
    };
    leading(version) == leading(VERSION)
}

pub(super) fn encode(
    policies: &Path,
    saved_at: SystemTime,
    revision: Revision,
    sources: &[Packed],
) -> Vec<u8> {
    let since = saved_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut body = Vec::new();
    field(&mut body, VERSION.as_bytes());
    field(&mut body, policies.as_os_str().as_bytes());
    field(&mut body, &since.as_secs().to_le_bytes());
    field(&mut body, revision.as_bytes());
    for packed in sources {
        field(&mut body, packed.name().as_bytes());
        field(&mut body, packed.bytes());
    }
    of_body(&body)
}

pub(super) fn of_body(body: &[u8]) -> Vec<u8> {
    [FORMAT, blake3::hash(body).as_bytes(), body].concat()
}

fn field(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend((bytes.len() as u64).to_le_bytes());
    body.extend(bytes);
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, StateError> {
    let rest = bytes.strip_prefix(FORMAT).ok_or(StateError::Damaged)?;
    let (digest, body) = rest.split_first_chunk::<{ blake3::OUT_LEN }>().ok_or(StateError::Damaged)?;
    if blake3::hash(body) != *digest {
        return Err(StateError::Damaged);
    }
    fields(body).ok_or(StateError::Damaged)
}

fn fields(body: &[u8]) -> Option<Record> {
    let mut rest = body;
    let version = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
    let policies = PathBuf::from(OsString::from_vec(take(&mut rest)?.to_vec()));
    let seconds = u64::from_le_bytes(take(&mut rest)?.try_into().ok()?);
    let saved_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    let revision = Revision::new(take(&mut rest)?.try_into().ok()?);
    let mut sources = Vec::new();
    while !rest.is_empty() {
        let name = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
        sources.push(Packed::new(name, take(&mut rest)?.to_vec()).unpack().ok()?);
    }
    Some(Record { version, policies, saved_at, revision, sources })
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}
