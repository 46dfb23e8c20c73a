//! Policy sets that come from somewhere else than a directory: given once, or handed on by another process.
//!
//! The same building and publishing as a directory's; only the reading is somebody else's. Invariant *last good*: a
//! delivery that is not whole, or does not load, changes nothing but the status.

use std::sync::Arc;
use std::time::SystemTime;

use portcullis_engine::{LoadMode, Loaded};

use crate::build::build;
use crate::read::{Source, revision};
use crate::snapshot::{Packed, Revision, Snapshot};
use crate::status::{Origin, Rejection};
use crate::store::Shared;

/// The one that puts policy sets into a store.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    published: u64,
}

/// A whole policy set on its way into a store.
#[derive(Debug)]
pub struct Delivery {
    /// Its files: a name for each, with `/` between the parts, and what it holds.
    pub files: Vec<(String, Vec<u8>)>,
    /// How strictly it is to be loaded.
    pub load_mode: LoadMode,
    /// The digest that its files must have; absent when nobody said.
    pub revision: Option<Revision>,
    /// The generation that its answers carry, from 1.
    pub generation: u64,
}

/// Why a delivery was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// It is not what was announced.
    #[error("the policy set has the revision {received}, not {announced}")]
    Revision {
        /// The one that was announced.
        announced: Revision,
        /// The one that the files have.
        received: Revision,
    },
    /// It does not load.
    #[error("{0}")]
    Policies(Box<Rejection>),
}

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, published: 0 }
    }

    /// Builds a policy set and makes it the current one. Takes as long as a load: call it where blocking is allowed.
    ///
    /// # Errors
    /// When it is not what was announced, or does not load.
    pub fn put(&mut self, delivery: Delivery) -> Result<(), FeedError> {
        let Delivery { files, load_mode, revision: announced, generation } = delivery;
        let mut sources: Vec<Source> =
            files.into_iter().map(|(name, bytes)| Source { name, bytes }).collect();
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        let received = revision(&sources, &[]);
        if let Some(announced) = announced.filter(|announced| *announced != received) {
            return Err(FeedError::Revision { announced, received });
        }
        let packed = sources.iter().map(Packed::of).collect();
        let Loaded { policy_set, diagnostics } = build(sources, &[], Vec::new(), load_mode);
        let Some(policy_set) = policy_set else {
            let rejection = Rejection { at: SystemTime::now(), revision: received, diagnostics };
            self.shared.status.send_modify(|status| {
                status.rejection = Some(rejection.clone());
                status.reloads.rejected += 1;
            });
            return Err(FeedError::Policies(Box::new(rejection)));
        };
        let snapshot = Snapshot {
            policy_set,
            revision: received,
            generation,
            loaded_at: SystemTime::now(),
            load_mode,
            revision_text: received.to_string().into(),
            sources: packed,
        };
        self.published += 1;
        self.shared.publish(self.published, Arc::new(snapshot), Origin::Feed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    const ALICE: &str =
        r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice"}]}"#;

    fn delivery(text: &str, generation: u64) -> Delivery {
        let files =
            vec![("b.json".to_owned(), b"{}".to_vec()), ("a.json".to_owned(), text.as_bytes().to_vec())];
        Delivery { files, load_mode: LoadMode::Lenient, revision: None, generation }
    }

    #[test]
    fn a_delivery_is_published_whole_or_not_at_all() {
        let (store, mut feed) = Store::fed();
        assert!(store.current().is_none());
        feed.put(delivery(ALICE, 7)).unwrap();
        let first = store.current().unwrap();
        assert_eq!((first.generation, first.files(), first.policy_set.counts().users), (7, 2, 1));
        assert_eq!(*first.revision_text, *first.revision.to_string());
        let names: Vec<String> = (0..).map_while(|at| first.file(at)).map(|file| file.unwrap().0).collect();
        assert_eq!(
            (names, first.bytes()),
            (vec!["a.json".to_owned(), "b.json".to_owned()], ALICE.len() as u64 + 2)
        );

        let broken = feed.put(delivery("{", 8)).unwrap_err();
        assert!(matches!(&broken, FeedError::Policies(found) if !found.diagnostics.is_empty()), "{broken:?}");
        assert!(broken.to_string().contains("a.json:1:"), "{broken}");
        let other = Delivery { revision: Some(first.revision), ..delivery("{}", 8) };
        assert!(matches!(feed.put(other), Err(FeedError::Revision { .. })));
        assert!(Arc::ptr_eq(&first, &store.current().unwrap()));
        assert!(store.status().is_degraded());

        // Whoever feeds may have started again, and counts from the beginning.
        feed.put(Delivery { revision: Some(first.revision), ..delivery(ALICE, 1) }).unwrap();
        let status = store.status();
        assert_eq!((status.generation, status.rejection, status.origin), (1, None, Origin::Feed));
        assert_eq!(store.current().unwrap().generation, 1);
    }
}
