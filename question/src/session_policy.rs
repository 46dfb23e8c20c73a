//! Session policies arrive as text with each request of a session; this keeps their compiled form for the next one.
//!
//! Invariant (FULL-KEY): the key is the whole text of every document, in order; never a hash, never a join.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use portcullis_engine::{Diagnostic, LoadMode, SessionPolicies, Severity, Violation};

use crate::refused::VIOLATIONS_MAX;

/// Bytes of the documents of one session that are still kept; longer ones are compiled each time.
const KEPT_BYTES_MAX: usize = 16 << 10;
/// Bytes of all documents that are kept: thousands of ordinary ones. Their compiled form takes about seven times as much.
const ALL_BYTES_MAX: usize = 4 << 20;

/// Compiled session policies by their text; bounded in entries, in bytes of one and in bytes of all.
#[derive(Debug)]
pub struct SessionPolicyCache {
    compiled: DashMap<Vec<String>, Arc<SessionPolicies>>,
    /// Of the documents of all entries, or a little more while one is put in.
    bytes: AtomicUsize,
    entries_max: usize,
    mode: LoadMode,
}

impl SessionPolicyCache {
    /// At most `entries_max` are kept; documents are compiled as strictly as `mode` says.
    #[must_use]
    pub fn new(entries_max: usize, mode: LoadMode) -> Self {
        Self { compiled: DashMap::new(), bytes: AtomicUsize::new(0), entries_max, mode }
    }

    /// The compiled form of `documents`; none for no documents.
    ///
    /// # Errors
    /// What is wrong with them, as much of it as one refusal tells.
    pub fn compiled(&self, documents: &[String]) -> Result<Option<Arc<SessionPolicies>>, Vec<Violation>> {
        if documents.is_empty() {
            return Ok(None);
        }
        if let Some(found) = self.compiled.get(documents) {
            return Ok(Some(Arc::clone(found.value())));
        }
        let compiled = SessionPolicies::compile(documents, self.mode).map_err(|findings| {
            let errors = findings.iter().filter(|found| found.severity == Severity::Error);
            errors.take(VIOLATIONS_MAX).map(violation).collect::<Vec<_>>()
        })?;
        let compiled = Arc::new(compiled);
        if size(documents) <= KEPT_BYTES_MAX {
            self.keep(documents, Arc::clone(&compiled));
        }
        Ok(Some(compiled))
    }

    /// Room is made by dropping whichever entry comes first: sessions are many and short, none deserves to stay.
    fn keep(&self, documents: &[String], compiled: Arc<SessionPolicies>) {
        if self.entries_max == 0 {
            return;
        }
        let bytes = size(documents);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        while self.compiled.len() >= self.entries_max || self.bytes.load(Ordering::Relaxed) > ALL_BYTES_MAX {
            // The guard of the iterator must be gone before the map is changed.
            let first = self.compiled.iter().next().map(|entry| entry.key().clone());
            let Some(first) = first else { break };
            if self.compiled.remove(&first).is_some() {
                self.bytes.fetch_sub(size(&first), Ordering::Relaxed);
            }
        }
        if self.compiled.insert(documents.to_vec(), compiled).is_some() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

fn size(documents: &[String]) -> usize {
    documents.iter().map(String::len).sum()
}

fn violation(diagnostic: &Diagnostic) -> Violation {
    let Diagnostic { code, file, position, message, .. } = diagnostic;
    Violation {
        field: "session.policies".to_owned(),
        description: format!("{file}:{}:{}: {message} [{}]", position.line, position.column, code.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(action: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
        )
    }

    #[test]
    fn the_same_text_is_compiled_once_and_the_bound_holds() {
        let cache = SessionPolicyCache::new(2, LoadMode::Lenient);
        assert!(cache.compiled(&[]).unwrap().is_none());
        let first = cache.compiled(&[document("s3:A")]).unwrap().unwrap();
        let again = cache.compiled(&[document("s3:A")]).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for number in 0..10 {
            cache.compiled(&[document(&format!("s3:B{number}"))]).unwrap();
            assert!(cache.compiled.len() <= 2);
        }
    }

    #[test]
    fn the_bytes_of_all_are_bounded_whatever_their_number() {
        let cache = SessionPolicyCache::new(1_000, LoadMode::Lenient);
        let long = |number: usize| document(&format!("s3:A{number}")) + &" ".repeat(16_000);
        for number in 0..400 {
            for _ in 0..2 {
                cache.compiled(&[long(number)]).unwrap();
            }
        }
        let kept: usize = cache.compiled.iter().map(|entry| size(entry.key())).sum();
        assert_eq!(cache.bytes.load(Ordering::Relaxed), kept);
        assert!(kept <= ALL_BYTES_MAX && cache.compiled.len() > 200, "{kept}");
    }

    #[test]
    fn two_documents_are_not_their_join() {
        let cache = SessionPolicyCache::new(8, LoadMode::Lenient);
        cache.compiled(&[document("s3:A"), document("s3:B")]).unwrap();
        cache.compiled(&[document("s3:B"), document("s3:A")]).unwrap();
        assert_eq!(cache.compiled.len(), 2);
        assert!(cache.compiled(&[document("s3:A") + &document("s3:B")]).is_err());
    }

    #[test]
    fn long_texts_are_not_kept_and_bad_ones_are_violations() {
        let cache = SessionPolicyCache::new(8, LoadMode::Lenient);
        let long = document("s3:A") + &" ".repeat(KEPT_BYTES_MAX);
        cache.compiled(&[long]).unwrap();
        assert_eq!(cache.compiled.len(), 0);
        let violations = cache.compiled(&["{".to_owned()]).unwrap_err();
        assert_eq!(violations.first().unwrap().field, "session.policies");
    }
}
