//! Every way a good directory becomes another good directory.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use portcullis_store::{Store, StoreOptions};

use crate::fixture::{Place, generation, policy, rejected_files, scanned, serves, swap_link, until, write};

#[tokio::test]
async fn a_config_map_is_swapped() {
    let place = Place::with_directory();
    place.write("..v1/a.json", policy("one"));
    place.write("..v1/gone.json", policy("gone"));
    symlink("..v1", place.path("..data")).unwrap();
    for name in ["a.json", "gone.json"] {
        symlink(format!("..data/{name}"), place.path(name)).unwrap();
    }
    let store = place.open();
    generation(&store, 1).await;
    assert!(serves(&store, "one") && serves(&store, "gone"));

    place.write("..v2/a.json", policy("two"));
    swap_link("..v2", &place.path("..data"));
    std::fs::remove_dir_all(place.path("..v1")).unwrap();
    std::fs::remove_file(place.path("gone.json")).unwrap();
    generation(&store, 2).await;
    assert!(serves(&store, "two") && !serves(&store, "one") && !serves(&store, "gone"));
}

#[tokio::test]
async fn an_editor_renames_over_a_file() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = place.open();
    generation(&store, 1).await;
    place.write(".a.json.swp", policy("two"));
    std::fs::rename(place.path(".a.json.swp"), place.path("a.json")).unwrap();
    generation(&store, 2).await;
    assert!(serves(&store, "two") && !serves(&store, "one"));
}

/// "Never" is not a time that anything can be added to.
#[tokio::test]
async fn a_directory_that_is_not_polled_is_followed_by_hints() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = Store::open(StoreOptions { poll_interval: Duration::MAX, ..place.options() });
    generation(&store, 1).await;
    place.write("a.json", policy("two"));
    store.rescan();
    generation(&store, 2).await;
    assert_eq!(store.status().reloads.restarts, 0);
}

#[tokio::test]
async fn the_root_link_is_swapped() {
    let place = Place::new();
    write(&place.beside("rev1/a.json"), policy("one"));
    swap_link("rev1", &place.directory());
    let store = place.open();
    generation(&store, 1).await;
    for (next, version) in [("two", 2), ("three", 3)] {
        write(&place.beside(&format!("rev{version}/a.json")), policy(next));
        swap_link(&format!("rev{version}"), &place.directory());
        std::fs::remove_dir_all(place.beside(&format!("rev{}", version - 1))).unwrap();
        generation(&store, version).await;
        assert!(serves(&store, next));
    }
}

#[tokio::test]
async fn a_link_above_the_directory_is_swapped_and_no_poll_is_needed() {
    let place = Place::new();
    write(&place.beside("commits/1/policies/a.json"), policy("one"));
    swap_link("commits/1", &place.beside("current"));
    let hour = Duration::from_secs(3600);
    let directory = place.beside("current/policies");
    let options = StoreOptions { poll_interval: hour, directory, ..place.options() };
    let store = Store::open(options);
    generation(&store, 1).await;
    for (next, version) in [("two", 2), ("three", 3)] {
        write(&place.beside(&format!("commits/{version}/policies/a.json")), policy(next));
        swap_link(&format!("commits/{version}"), &place.beside("current"));
        // Where the machine has no inotify instance left, a call takes the place of the event.
        if !store.status().watching {
            store.rescan();
        }
        generation(&store, version).await;
        assert!(serves(&store, next));
    }
}

#[tokio::test]
async fn the_directory_is_deleted_and_made_again() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = place.open();
    generation(&store, 1).await;
    std::fs::remove_dir_all(place.directory()).unwrap();
    assert_eq!(rejected_files(&store).await.len(), 1);
    assert!(serves(&store, "one"), "a directory that vanished does not take the policies with it");
    place.write("a.json", policy("two"));
    generation(&store, 2).await;
    assert!(serves(&store, "two"));
    // The new directory is followed as the old one was.
    until(&store, "a watch on the new directory", |status| status.watching).await;
    place.write("a.json", policy("three"));
    generation(&store, 3).await;
}

#[tokio::test]
async fn the_directory_is_replaced_by_rename() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = place.open();
    generation(&store, 1).await;
    write(&place.beside("next/a.json"), policy("two"));
    std::fs::rename(place.directory(), place.beside("old")).unwrap();
    std::fs::rename(place.beside("next"), place.directory()).unwrap();
    generation(&store, 2).await;
    assert!(serves(&store, "two"));
    write(&place.beside("old/a.json"), policy("stale"));
    scanned(&store).await;
    assert!(serves(&store, "two"), "the old directory is not followed any more");
}

#[tokio::test]
async fn a_touch_changes_nothing() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = place.open();
    generation(&store, 1).await;
    let file = std::fs::File::options().append(true).open(place.path("a.json")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3)).unwrap();
    place.write("a.json", policy("one"));
    place.write("notes.txt", "not a policy");
    scanned(&store).await;
    assert_eq!(store.status().generation, 1);
}

#[tokio::test]
async fn an_older_copy_with_its_old_date_is_a_change() {
    let place = Place::with_directory();
    place.write("a.json", policy("new"));
    let store = place.open();
    generation(&store, 1).await;
    place.write(".old", policy("old"));
    let file = std::fs::File::options().append(true).open(place.path(".old")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
    std::fs::rename(place.path(".old"), place.path("a.json")).unwrap();
    generation(&store, 2).await;
    assert!(serves(&store, "old"));
}

#[tokio::test]
async fn events_alone_bring_a_change() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = Store::open(StoreOptions { poll_interval: Duration::from_secs(3600), ..place.options() });
    generation(&store, 1).await;
    // Where the machine has no inotify instance left, a call takes the place of the event.
    let nudge = || {
        if !store.status().watching {
            store.rescan()
        }
    };
    place.write("a.json", policy("two"));
    nudge();
    generation(&store, 2).await;
    write(&place.beside("new/b.json"), policy("three"));
    std::fs::rename(place.beside("new"), place.path("new")).unwrap();
    nudge();
    generation(&store, 3).await;
    assert!(serves(&store, "two") && serves(&store, "three"));
}

#[tokio::test]
async fn a_rescan_alone_brings_a_change() {
    let place = Place::new();
    let store = Store::open(StoreOptions { poll_interval: Duration::from_secs(3600), ..place.options() });
    until(&store, "the first scan", |status| status.scans > 0).await;
    place.write("a.json", policy("one"));
    store.rescan();
    generation(&store, 1).await;
}

#[tokio::test]
async fn a_snapshot_in_use_outlives_its_successor() {
    let place = Place::with_directory();
    place.write("a.json", policy("one"));
    let store = place.open();
    generation(&store, 1).await;
    let first = store.current().unwrap();
    place.write("a.json", policy("two"));
    generation(&store, 2).await;
    assert!(first.policy_set.has_policy(&crate::fixture::arn("one")));
    assert_ne!(first.revision, store.current().unwrap().revision);
    drop(store.clone());
    place.write("a.json", policy("three"));
    generation(&store, 3).await;
}
