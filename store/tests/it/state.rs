//! The last good policy set on disk: what a start does when the directory does not load.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_store::{Keeping, Origin, StateOptions, Status, Store, StoreOptions};

use crate::fixture::{Place, generation, policy, rejected_files, serves, until};

const DAY: Duration = Duration::from_secs(86_400);

fn options(place: &Place) -> StoreOptions {
    let state = StateOptions { directory: place.beside("state/portcullis"), age_max: DAY };
    StoreOptions { state: Some(state), ..place.options() }
}

fn record(place: &Place) -> PathBuf {
    place.beside("state/portcullis/last-good")
}

/// Serves policy `good` for long enough to keep it, then ends.
async fn earlier_process(place: &Place) {
    place.write("good.json", policy("good"));
    let store = Store::open(options(place));
    generation(&store, 1).await;
    until(&store, "the record", |_| record(place).exists()).await;
    assert_eq!(store.status().keeping, Keeping::Healthy);
    end(store).await;
}

/// The task ends, and lets go of the lock, a moment after its store.
async fn end(store: Store) {
    let mut statuses = store.subscribe_status();
    drop(store);
    while statuses.changed().await.is_ok() {}
}

fn restored(status: &Status) -> bool {
    matches!(status.origin, Origin::LastGood { .. })
}

#[tokio::test]
async fn a_directory_that_is_broken_at_the_start_is_served_from_the_record() {
    let place = Place::with_directory();
    earlier_process(&place).await;
    place.write("bad.json", "{");

    let store = Store::open(options(&place));
    assert_eq!(rejected_files(&store).await, ["bad.json"]);
    assert!(serves(&store, "good"));
    let status = store.status();
    assert!(restored(&status) && status.is_degraded());
    assert_eq!((status.generation, status.reloads.restored, status.reloads.rejected), (1, 1, 1));
    assert!(status.stale_since.is_some());

    place.write("bad.json", policy("fixed"));
    generation(&store, 2).await;
    let status = until(&store, "the directory", |status| !status.is_degraded()).await;
    assert_eq!((status.origin, status.stale_since), (Origin::Directory, None));
    assert!(serves(&store, "good") && serves(&store, "fixed"));
}

#[tokio::test]
async fn a_directory_that_is_missing_or_empty_at_the_start_is_served_from_the_record() {
    for empty in [true, false] {
        let place = Place::with_directory();
        earlier_process(&place).await;
        std::fs::remove_dir_all(place.directory()).unwrap();
        if empty {
            std::fs::create_dir(place.directory()).unwrap();
        }
        let store = Store::open(options(&place));
        until(&store, "the record", restored).await;
        assert!(serves(&store, "good"));
        // The same content again is the same policy set, and no news.
        place.write("good.json", policy("good"));
        until(&store, "the directory", |status| !status.is_degraded()).await;
        assert_eq!(store.status().generation, 1);
    }
}

#[tokio::test]
async fn a_torn_or_foreign_record_is_not_served() {
    let place = Place::with_directory();
    earlier_process(&place).await;
    place.write("bad.json", "{");
    let whole = std::fs::read(record(&place)).unwrap();
    std::fs::write(record(&place), &whole[..whole.len() - 1]).unwrap();
    let store = Store::open(options(&place));
    assert_eq!(rejected_files(&store).await, ["bad.json"]);
    assert!(store.current().is_none());
    end(store).await;

    // Of another policy directory: whole, and not for this one.
    std::fs::write(record(&place), &whole).unwrap();
    std::fs::create_dir(place.beside("other")).unwrap();
    let store = Store::open(StoreOptions { directory: place.beside("other"), ..options(&place) });
    until(&store, "a rejection", |status| status.rejection.is_some()).await;
    assert!(store.current().is_none());
}

#[tokio::test]
async fn a_record_that_is_too_old_is_not_served() {
    let place = Place::with_directory();
    earlier_process(&place).await;
    place.write("bad.json", "{");
    let state = StateOptions { age_max: Duration::ZERO, ..options(&place).state.unwrap() };
    // Ages are told in whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let store = Store::open(StoreOptions { state: Some(state), ..options(&place) });
    assert_eq!(rejected_files(&store).await, ["bad.json"]);
    assert!(store.current().is_none());
}

#[tokio::test]
async fn a_record_is_held_to_the_mode_of_the_start() {
    let place = Place::with_directory();
    // AWS refuses `null` in a list today, and may still hold one.
    let lenient = policy("good").replace(r#""Resource": "*""#, r#""Resource": ["*", null]"#);
    place.write("good.json", &lenient);
    let first = Store::open(options(&place));
    generation(&first, 1).await;
    until(&first, "the record", |_| record(&place).exists()).await;
    end(first).await;
    let strict = StoreOptions { load_mode: portcullis_engine::LoadMode::Strict, ..options(&place) };
    let store = Store::open(strict);
    assert_eq!(rejected_files(&store).await, ["good.json"]);
    assert!(store.current().is_none(), "the record does not load in strict mode");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_used_stops_nothing() {
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    std::fs::write(place.beside("state"), "a file where the directory should be").unwrap();
    let store = Store::open(options(&place));
    generation(&store, 1).await;
    let status = until(&store, "the state", |status| status.keeping == Keeping::Failing).await;
    assert!(status.is_degraded());
}

#[tokio::test]
async fn a_second_process_keeps_nothing_and_the_first_goes_on() {
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    let first = Store::open(options(&place));
    generation(&first, 1).await;
    let second = Store::open(options(&place));
    until(&second, "the lock", |status| status.keeping == Keeping::Failing).await;
    generation(&second, 1).await;
    place.write("next.json", policy("next"));
    generation(&first, 2).await;
    assert_eq!(first.status().keeping, Keeping::Healthy);
}
