//! A policy directory to play with, and a store that follows it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_store::{Status, Store, StoreOptions};

/// Far more than any step takes; only a step that never happens lasts this long.
const NEVER: Duration = Duration::from_secs(60);

/// A directory with one place in it where the policy directory is, or will be.
pub(crate) struct Place {
    parent: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { parent: tempfile::tempdir().unwrap() }
    }

    /// With the policy directory already there, empty.
    pub(crate) fn with_directory() -> Self {
        let place = Self::new();
        std::fs::create_dir(place.directory()).unwrap();
        place
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.beside("policies")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.parent.path().join(name)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Writes a file in place, folders included.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        write(&self.path(name), text);
    }

    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions {
            poll_interval: Duration::from_millis(100),
            settle: Duration::from_millis(10),
            ..StoreOptions::new(self.directory())
        }
    }

    /// Opens a store that polls; events may come too.
    pub(crate) fn open(&self) -> Store {
        Store::open(self.options())
    }
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Makes `link` lead to `target` in one step, whatever it led to before.
pub(crate) fn swap_link(target: &str, link: &Path) {
    let temporary = link.with_file_name(".swap");
    std::os::unix::fs::symlink(target, &temporary).unwrap();
    std::fs::rename(&temporary, link).unwrap();
}

/// A directory file with one managed policy of this name.
pub(crate) fn policy(name: &str) -> String {
    format!(
        r#"{{"Policies": [{{"PolicyName": "{name}", "Arn": "{}", "PolicyDocument": {{"Version": "2012-10-17",
"Statement": [{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}]}}}}]}}"#,
        arn(name)
    )
}

pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:iam::123456789012:policy/{name}")
}

/// Does the served policy set have the policy of this name?
pub(crate) fn serves(store: &Store, name: &str) -> bool {
    store.current().is_some_and(|snapshot| snapshot.policy_set.has_policy(&arn(name)))
}

/// Waits until the status is as wanted.
pub(crate) async fn until(store: &Store, what: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
    let mut statuses = store.subscribe_status();
    let status = tokio::time::timeout(NEVER, statuses.wait_for(wanted)).await;
    match status {
        Ok(Ok(status)) => status.clone(),
        _ => panic!("never: {what}; now {:?}", store.status()),
    }
}

/// Waits for this generation.
pub(crate) async fn generation(store: &Store, wanted: u64) {
    let mut generations = store.subscribe();
    let reached = tokio::time::timeout(NEVER, generations.wait_for(|now| *now >= wanted)).await;
    assert!(matches!(reached, Ok(Ok(_))), "generation {wanted} never came; now {:?}", store.status());
    assert_eq!(store.status().generation, wanted);
    assert_eq!(store.current().unwrap().generation, wanted);
}

/// Waits until the directory has been read again from the beginning.
pub(crate) async fn scanned(store: &Store) {
    let before = store.status().scans;
    store.rescan();
    // The first may have begun before the call.
    until(store, "two more scans", |status| status.scans >= before + 2).await;
}

/// Waits for a rejection and returns the files it names, in order, each once.
pub(crate) async fn rejected_files(store: &Store) -> Vec<String> {
    let status = until(store, "a rejection", |status| status.rejection.is_some()).await;
    let mut files: Vec<String> =
        status.rejection.unwrap().diagnostics.into_iter().map(|found| found.file).collect();
    files.dedup();
    files
}
