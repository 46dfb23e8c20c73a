//! A policy directory that changes step by step: what is served is always what a cold start would serve, or what was served
//! before.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use portcullis_engine::Counts;
use portcullis_store::{Status, Store, StoreOptions, load_directory};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// More would be the same again.
const STEPS_MAX: usize = 12;
const NEVER: Duration = Duration::from_secs(30);
/// Names that a step can be about.
const NAMES: [&str; 6] = ["a.json", "b.json", "c.json", "d/e.json", "d", ".hidden.json"];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Two bytes a step: what is done, and with which names.
    vec![
        vec![0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 3, 1],
        vec![0, 0, 1, 0, 0, 8, 1, 1, 3, 1, 0, 1],
        vec![7, 0, 0, 3, 4, 8, 5, 3, 3, 3],
        vec![0, 0, 6, 1, 6, 8, 3, 0, 8, 0, 0, 0],
        vec![0, 0, 9, 0, 9, 1, 0, 9, 2, 1, 10, 0],
        vec![2, 0, 11, 0, 0, 0, 3, 0, 0, 16, 4, 1],
    ]
}

/// Version `version` of a good file.
fn good(name: usize, version: u8) -> String {
    format!(
        r#"{{"UserDetailList":[{{"UserName":"u{name}","Arn":"arn:aws:iam::111111111111:user/u{name}","UserPolicyList":[
            {{"PolicyName":"p","PolicyDocument":{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Action":"s3:Get{version}","Resource":"*"}}]}}}}]}}]}}"#
    )
}

/// One step. That it cannot be done is a step that changes nothing.
fn step(root: &Path, what: u8, which: u8) {
    let first = usize::from(which) % NAMES.len();
    let second = usize::from(which / 8) % NAMES.len();
    let (path, other) = (root.join(NAMES[first]), root.join(NAMES[second]));
    let text = good(first, which / 64);
    let _ = match what % 12 {
        0 => fs::write(&path, &text),
        1 => fs::write(&path, &text[..text.len() / 2]),
        2 => fs::write(&path, "{}"),
        3 => fs::remove_file(&path),
        4 => fs::rename(&path, &other),
        5 => fs::remove_dir_all(&path),
        6 => symlink(NAMES[second], &path),
        7 => fs::create_dir(&path),
        8 => fs::hard_link(&path, &other),
        9 => fs::copy(&path, &other).map(drop),
        10 => fs::write(root.join(".next"), &text).and_then(|()| fs::rename(root.join(".next"), &path)),
        _ => fs::write(&path, ""),
    };
}

/// A directory, its store, and what must be true of them.
struct Followed<'r> {
    runtime: &'r Runtime,
    options: StoreOptions,
    store: Store,
}

impl Followed<'_> {
    /// A whole look at the directory, begun after this was called: the second one that ends from now on.
    fn looked(&self) -> Status {
        let mut statuses = self.store.subscribe_status();
        for _ in 0..2 {
            let seen = self.store.status().scans;
            self.store.rescan();
            let more = statuses.wait_for(|status| status.scans > seen);
            let more = self.runtime.block_on(async { timeout(NEVER, more).await.map(|it| it.is_ok()) });
            assert_eq!(more, Ok(true), "the directory is not looked at any more");
        }
        self.store.status()
    }

    fn check(&self, before: &Status) -> Status {
        let now = self.looked();
        let cold = load_directory(&self.options);
        let held = before.counts.unwrap_or_default();
        // Files that define nothing are a policy set at a start, and no successor of one that defines something.
        let loads = cold
            .policy_set
            .as_ref()
            .is_some_and(|set| held == Counts::default() || set.counts() != Counts::default());
        let served = self.store.current();
        assert_eq!(served.as_ref().map(|it| it.revision), now.revision);
        if loads {
            assert_eq!(now.revision, Some(cold.revision), "a cold start would serve something else");
            assert!(now.rejection.is_none() && !now.is_degraded(), "{now:?}");
        } else {
            assert_eq!(
                (now.revision, now.generation),
                (before.revision, before.generation),
                "{:?}",
                cold.diagnostics
            );
            assert!(now.rejection.is_some(), "nothing tells of the refusal");
        }
        let more = u64::from(now.revision != before.revision);
        assert_eq!(now.generation, before.generation + more, "one change, one generation");
        now
    }
}

pub(crate) fn check(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("policies");
    fs::create_dir(&root).expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = StoreOptions {
        settle: Duration::ZERO,
        poll_interval: Duration::from_secs(3_600),
        ..StoreOptions::new(&root)
    };
    let store = {
        let _inside = runtime.enter();
        Store::open(options.clone())
    };
    let followed = Followed { runtime: &runtime, options, store };
    let mut status = Status::default();
    for pair in bytes.chunks_exact(2).take(STEPS_MAX) {
        step(&root, pair[0], pair[1]);
        status = followed.check(&status);
    }
}
