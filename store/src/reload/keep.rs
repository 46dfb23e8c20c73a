//! The last good policy set: kept after each publication, taken back when the first directory does not load.
//!
//! A state directory that does not work is reported and does not stop anything. Invariant: what is taken back has been
//! built and validated here, from text, in the same mode as the directory's own.

use std::sync::Arc;

use portcullis_engine::{LoadMode, Loaded, PolicySet};

use super::{Keeping, LastGood, Origin, Packed, Record, Reload};
use crate::build::build;

impl Reload {
    /// Opens the state directory, when there is to be one.
    pub(super) async fn open_state(&mut self) {
        let Some(options) = self.options.state.clone() else { return };
        let directory = options.directory.clone();
        let opened = match self.blocking("open", move || LastGood::open(options)).await {
            Ok(Ok(opened)) if opened.is_locked() => Ok((opened, Keeping::Healthy)),
            Ok(Ok(opened)) => {
                let directory = directory.display();
                tracing::error!(%directory, "another process uses the state directory; nothing is kept in it");
                Ok((opened, Keeping::Failing))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(found) => Err(found.message),
        };
        match opened {
            Ok((opened, keeping)) => {
                self.last_good = Some(opened);
                self.set_keeping(keeping);
            }
            Err(error) => {
                tracing::error!(directory = %directory.display(), error, "the state directory cannot be used");
                self.set_keeping(Keeping::Failing);
            }
        }
    }

    /// Keeps what is served, when the record on disk is another one or has aged.
    pub(super) async fn save(&mut self) {
        let Some(active) = self.active.clone() else { return };
        let revision = active.revision;
        let Some(mut last_good) = self.last_good.take_if(|last_good| last_good.is_due(revision)) else {
            return;
        };
        let options = Arc::clone(&self.options);
        let write = move || {
            let saved = last_good.save(&options.directory, revision, &active.sources);
            (last_good, saved)
        };
        let error = match self.blocking("save", write).await {
            Ok((last_good, saved)) => {
                self.last_good = Some(last_good);
                saved.err().map(|error| error.to_string())
            }
            Err(found) => Some(found.message),
        };
        match error {
            None => {
                self.set_keeping(Keeping::Healthy);
            }
            Some(error) => {
                // It is tried again with every scan; once is enough to say so.
                if self.set_keeping(Keeping::Failing) {
                    tracing::error!(error, "the last good policy set cannot be kept in the state directory");
                }
            }
        }
    }

    /// Serves what an earlier process kept, when it may be used and still builds.
    pub(super) async fn restore(&mut self) {
        let Some(last_good) = self.last_good.take() else { return };
        let options = Arc::clone(&self.options);
        let read = move || {
            let loaded = last_good.load(&options.directory, &options.limits);
            (last_good, loaded.map(|record| record.map(|record| rebuild(record, options.load_mode))))
        };
        let restored = match self.blocking("restore", read).await {
            Ok((last_good, restored)) => {
                self.last_good = Some(last_good);
                restored.map_err(|error| error.to_string())
            }
            Err(found) => Err(found.message),
        };
        match restored {
            Ok(Some(Some((policy_set, origin, revision, sources)))) => {
                tracing::warn!(%revision, "the policy directory does not load; serving the last good policy set");
                self.publish(policy_set, revision, sources, origin);
            }
            Ok(Some(None)) => tracing::error!("the last good policy set does not load any more"),
            Ok(None) => {}
            Err(error) => tracing::error!(error, "the last good policy set cannot be used"),
        }
    }

    /// True when that is news.
    fn set_keeping(&self, keeping: Keeping) -> bool {
        self.shared
            .status
            .send_if_modified(|status| std::mem::replace(&mut status.keeping, keeping) != keeping)
    }
}

type Rebuilt = (PolicySet, Origin, crate::snapshot::Revision, Vec<Packed>);

fn rebuild(record: Record, mode: LoadMode) -> Option<Rebuilt> {
    let Record { saved_at, revision, sources, version: _, policies: _ } = record;
    // The digest of the texts must be the one they were served under.
    if crate::read::revision(&sources, &[]) != revision {
        return None;
    }
    let packed = sources.iter().map(Packed::of).collect();
    let Loaded { policy_set, .. } = build(sources, &[], Vec::new(), mode);
    Some((policy_set?, Origin::LastGood { saved_at }, revision, packed))
}
