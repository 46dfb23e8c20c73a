//! The first load.

use portcullis_engine::{Code, LoadMode};
use portcullis_store::{Revision, StoreOptions, load_directory};

use crate::fixture::{Place, arn, generation, policy, rejected_files, scanned, serves, until};

#[tokio::test]
async fn a_good_directory_is_served() {
    let place = Place::with_directory();
    place.write("a.json", policy("a"));
    place.write("team/b.json", policy("b"));
    let store = place.open();
    generation(&store, 1).await;
    assert!(serves(&store, "a") && serves(&store, "b"));
    let (status, snapshot) = (store.status(), store.current().unwrap());
    assert_eq!(status.revision, Some(snapshot.revision));
    assert_eq!(status.loaded_at, Some(snapshot.loaded_at));
    assert_eq!(status.counts, Some(snapshot.policy_set.counts()));
    assert_eq!(status.rejection, None);
    assert_eq!(snapshot.revision.to_string().parse::<Revision>(), Ok(snapshot.revision));
}

#[tokio::test]
async fn a_bad_file_at_the_start_serves_nothing_until_it_is_fixed() {
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    place.write("bad.json", "{");
    let store = place.open();
    assert_eq!(rejected_files(&store).await, ["bad.json"]);
    assert!(store.current().is_none());
    assert_eq!(store.status().generation, 0);
    place.write("bad.json", policy("fixed"));
    generation(&store, 1).await;
    assert!(serves(&store, "good") && serves(&store, "fixed"));
    assert_eq!(store.status().rejection, None);
}

#[tokio::test]
async fn a_directory_may_appear_later() {
    let place = Place::new();
    let store = place.open();
    let status = until(&store, "a rejection", |status| status.rejection.is_some()).await;
    let rejection = status.rejection.unwrap();
    assert_eq!(rejection.diagnostics.len(), 1);
    assert_eq!(rejection.diagnostics[0].code, Code::UnreadableFile);
    assert!(store.current().is_none());
    place.write("a.json", policy("a"));
    generation(&store, 1).await;
    assert!(serves(&store, "a"));
    assert_eq!(store.status().rejection, None);
}

#[tokio::test]
async fn an_empty_directory_is_a_mistake_unless_allowed() {
    let place = Place::with_directory();
    place.write("notes.txt", "not a policy");
    let store = place.open();
    let status = until(&store, "a rejection", |status| status.rejection.is_some()).await;
    assert_eq!(status.rejection.unwrap().diagnostics[0].code, Code::EmptyDirectory);
    assert!(store.current().is_none());

    let allowed = portcullis_store::Store::open(StoreOptions { allow_empty: true, ..place.options() });
    generation(&allowed, 1).await;
    assert_eq!(allowed.current().unwrap().files(), 0);
    place.write("a.json", policy("a"));
    generation(&allowed, 2).await;
    generation(&store, 1).await;
}

#[tokio::test]
async fn a_rejection_is_recorded_once() {
    let place = Place::with_directory();
    place.write("bad.json", "");
    let store = place.open();
    assert_eq!(rejected_files(&store).await, ["bad.json"]);
    let first = store.status().rejection.unwrap();
    scanned(&store).await;
    assert_eq!(store.status().rejection, Some(first), "the same directory was judged again");
}

#[test]
fn one_look_gives_the_same_verdict() {
    let place = Place::with_directory();
    let load = load_directory(&place.options());
    assert!(load.policy_set.is_none());
    assert_eq!(load.files, 0);
    place.write("a.json", policy("a"));
    let good = load_directory(&place.options());
    assert!(good.policy_set.unwrap().has_policy(&arn("a")));
    assert_eq!(good.files, 1);
    place.write("b.json", "[");
    let bad = load_directory(&place.options());
    assert!(bad.policy_set.is_none());
    assert_eq!(bad.files, 2);
    assert_ne!(bad.revision, good.revision);
    assert_eq!(bad.diagnostics[0].file, "b.json");
}

#[tokio::test]
async fn an_overlay_adds_to_what_is_loaded_or_stands_alone() {
    let place = Place::with_directory();
    place.write("a.json", policy("a"));
    let store = place.open();
    generation(&store, 1).await;
    let snapshot = store.current().unwrap();
    // The texts are the snapshot's own: the directory is not asked again.
    std::fs::remove_dir_all(place.directory()).unwrap();

    let both = snapshot.overlay(policy("b").as_bytes(), false, LoadMode::Lenient).unwrap();
    assert!(both.has_policy(&arn("a")) && both.has_policy(&arn("b")));
    let alone = snapshot.overlay(policy("b").as_bytes(), true, LoadMode::Lenient).unwrap();
    assert!(!alone.has_policy(&arn("a")) && alone.has_policy(&arn("b")));
    let twice = snapshot.overlay(policy("a").as_bytes(), false, LoadMode::Lenient).unwrap_err();
    assert!(twice.iter().any(|found| found.code == Code::DuplicateEntity), "{twice:?}");
    assert!(snapshot.overlay(b"{", true, LoadMode::Lenient).is_err());
    assert!(!snapshot.policy_set.has_policy(&arn("b")), "the loaded set is untouched");
}
