//! One complete policy set and what it was made from.
//!
//! Immutable. The sources are kept compressed, so that a simulation can build the loaded set with something added and
//! need not trust that the directory still holds it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use portcullis_engine::{Code, Diagnostic, LoadMode, Loaded, PolicySet, Severity};

use crate::build::build;
use crate::read::Source;

/// The name under which diagnostics speak of the text given to [`Snapshot::overlay`].
const GIVEN: &str = "(given)";

/// A digest of everything a policy set was made from: equal revisions decide equally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision([u8; 32]);

impl Revision {
    pub(crate) fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a revision is 64 lower-case hexadecimal digits")]
pub struct InvalidRevision;

impl FromStr for Revision {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(InvalidRevision);
        }
        let digest = blake3::Hash::from_hex(text).map_err(|_| InvalidRevision)?;
        Ok(Self(*digest.as_bytes()))
    }
}

/// A source, compressed.
#[derive(Debug)]
pub(crate) struct Packed {
    name: String,
    bytes: Vec<u8>,
}

impl Packed {
    pub(crate) fn of(source: &Source) -> Self {
        Self { name: source.name.clone(), bytes: lz4_flex::block::compress_prepend_size(&source.bytes) }
    }

    /// What was compressed before.
    pub(crate) fn new(name: String, bytes: Vec<u8>) -> Self {
        Self { name, bytes }
    }

    /// Bytes before compression.
    fn unpacked_bytes(&self) -> u64 {
        lz4_flex::block::uncompressed_size(&self.bytes).map_or(0, |(bytes, _)| bytes as u64)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn unpack(&self) -> Result<Source, lz4_flex::block::DecompressError> {
        let bytes = lz4_flex::block::decompress_size_prepended(&self.bytes)?;
        Ok(Source { name: self.name.clone(), bytes })
    }
}

/// What requests are decided on: loaded once per request, or once per batch, and never changed.
pub struct Snapshot {
    /// The compiled policies.
    pub policy_set: PolicySet,
    /// The digest of what it was made from.
    pub revision: Revision,
    /// Counts publications in this process, from 1.
    pub generation: u64,
    /// When it was published.
    pub loaded_at: SystemTime,
    /// How strictly it was loaded.
    pub load_mode: LoadMode,
    /// The revision as text, for those who tell it with every answer.
    pub revision_text: Arc<str>,
    pub(crate) sources: Vec<Packed>,
}

/// A text kept in memory that does not read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the text of `{0}` kept in memory cannot be read back")]
pub struct Damaged(String);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &format_args!("{}", self.revision))
            .field("generation", &self.generation)
            .field("loaded_at", &self.loaded_at)
            .field("files", &self.sources.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// How many files it was made from.
    #[must_use]
    pub fn files(&self) -> usize {
        self.sources.len()
    }

    /// Bytes of all these files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(Packed::unpacked_bytes).sum()
    }

    /// One of the files that it was made from, in the order of their names, and what it holds; `None` after the last.
    ///
    /// # Errors
    /// When the text kept in memory does not read back.
    pub fn file(&self, index: usize) -> Option<Result<(String, Vec<u8>), Damaged>> {
        let packed = self.sources.get(index)?;
        let unpacked = packed.unpack().map_err(|_| Damaged(packed.name.clone()));
        Some(unpacked.map(|Source { name, bytes }| (name, bytes)))
    }

    /// The policy set that the loaded files and one more directory file would make; with `replace`, that one file alone.
    ///
    /// Builds from the texts, which takes as long as a load: call it where blocking is allowed.
    ///
    /// # Errors
    /// Every diagnostic of the build, when one of them is an error. An entity that is both loaded and given is an error.
    pub fn overlay(
        &self,
        directory_json: &[u8],
        replace: bool,
        mode: LoadMode,
    ) -> Result<PolicySet, Vec<Diagnostic>> {
        let mut sources = Vec::new();
        if !replace {
            for packed in &self.sources {
                sources.push(packed.unpack().map_err(|error| vec![unkept(&packed.name, &error)])?);
            }
        }
        sources.push(Source { name: GIVEN.to_owned(), bytes: directory_json.to_vec() });
        let Loaded { policy_set, diagnostics } = build(sources, &[], Vec::new(), mode);
        policy_set.ok_or(diagnostics)
    }
}

/// Memory that does not read back is a finding like any other.
fn unkept(file: &str, error: &lz4_flex::block::DecompressError) -> Diagnostic {
    let message = format!("the text kept in memory cannot be read back: {error}");
    Diagnostic::of_file(Code::UnreadableFile, Severity::Error, file, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_reads_back_what_it_prints() {
        let revision = Revision::new(*blake3::hash(b"portcullis").as_bytes());
        let text = revision.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(text.parse(), Ok(revision));
        assert_eq!(text.to_uppercase().parse::<Revision>(), Err(InvalidRevision));
        assert_eq!("".parse::<Revision>(), Err(InvalidRevision));
        assert_eq!(format!("{text}0").parse::<Revision>(), Err(InvalidRevision));
    }

    #[test]
    fn a_packed_source_unpacks_to_itself() {
        let bytes = b"{\"Policies\": []}".repeat(100);
        let packed = Packed::of(&Source { name: "a.json".to_owned(), bytes: bytes.clone() });
        assert!(packed.bytes.len() < bytes.len());
        assert_eq!(packed.unpack().unwrap().bytes, bytes);
    }
}
