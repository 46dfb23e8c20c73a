//! Every way a reload goes wrong: the last good policy set stays, and the status says why.

use std::os::unix::fs::symlink;

use portcullis_engine::Code;
use portcullis_store::{Limits, Store, StoreOptions};

use crate::fixture::{Place, generation, policy, rejected_files, scanned, serves, until};

/// A store that serves policy `good` from `good.json`.
async fn serving() -> (Place, Store) {
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    let store = place.open();
    generation(&store, 1).await;
    (place, store)
}

/// The rejection names exactly these files, and nothing else changed.
async fn refuses(store: &Store, files: &[&str]) {
    assert_eq!(rejected_files(store).await, files);
    assert!(serves(store, "good"));
    assert_eq!(store.status().generation, 1);
}

#[tokio::test]
async fn bad_files_keep_the_last_good_set_and_are_all_listed() {
    let (place, store) = serving().await;
    // One step, so that no half of it is ever seen.
    let next = place.beside("next");
    std::fs::create_dir(&next).unwrap();
    for (name, text) in [("good.json", policy("good")), ("later.json", policy("later"))] {
        std::fs::write(next.join(name), text).unwrap();
    }
    let bad: [(&str, &[u8]); 5] = [
        ("b1-cut.json", br#"{"Policies": ["#),
        ("b2-empty.json", b""),
        ("b3-nul.json", &[0; 512]),
        ("b4-latin.json", b"{\"Policies\": \"\xff\"}"),
        ("b5-member.json", br#"{"Polices": []}"#),
    ];
    for (name, text) in bad {
        std::fs::write(next.join(name), text).unwrap();
    }
    std::fs::rename(place.directory(), place.beside("old")).unwrap();
    std::fs::rename(&next, place.directory()).unwrap();
    let all = |status: &portcullis_store::Status| {
        let rejection = status.rejection.as_ref();
        rejection.is_some_and(|found| {
            bad.iter().all(|(name, _)| found.diagnostics.iter().any(|f| f.file == *name))
        })
    };
    until(&store, "a rejection of every bad file", all).await;
    refuses(&store, &bad.map(|(name, _)| name)).await;
    assert!(!serves(&store, "later"), "the good files of a bad directory are not served either");

    for (name, _) in bad {
        std::fs::remove_file(place.path(name)).unwrap();
    }
    generation(&store, 2).await;
    assert!(serves(&store, "later"));
    assert_eq!(store.status().rejection, None);
}

#[tokio::test]
async fn going_back_to_the_served_content_ends_the_rejection() {
    let (place, store) = serving().await;
    place.write("bad.json", "");
    refuses(&store, &["bad.json"]).await;
    std::fs::remove_file(place.path("bad.json")).unwrap();
    until(&store, "the rejection to end", |status| status.rejection.is_none()).await;
    assert_eq!(store.status().generation, 1);
}

#[tokio::test]
async fn the_last_file_is_deleted() {
    let (place, store) = serving().await;
    std::fs::remove_file(place.path("good.json")).unwrap();
    refuses(&store, &["."]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::EmptyDirectory);
}

#[tokio::test]
async fn the_last_file_is_deleted_where_empty_is_allowed() {
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    let store = Store::open(StoreOptions { allow_empty: true, ..place.options() });
    generation(&store, 1).await;
    std::fs::remove_file(place.path("good.json")).unwrap();
    refuses(&store, &["."]).await;
}

#[tokio::test]
async fn the_files_are_there_and_define_nothing() {
    let (place, store) = serving().await;
    // By rename: a half-written file would be refused for another reason.
    place.write(".next", "{}");
    std::fs::rename(place.path(".next"), place.path("good.json")).unwrap();
    refuses(&store, &["."]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::EmptyDirectory);
    place.write(".next", policy("next"));
    std::fs::rename(place.path(".next"), place.path("good.json")).unwrap();
    generation(&store, 2).await;
}

#[tokio::test]
async fn the_directory_vanishes() {
    let (place, store) = serving().await;
    std::fs::rename(place.directory(), place.beside("elsewhere")).unwrap();
    refuses(&store, &[place.directory().to_str().unwrap()]).await;
    std::fs::rename(place.beside("elsewhere"), place.directory()).unwrap();
    until(&store, "the rejection to end", |status| status.rejection.is_none()).await;
    assert_eq!(store.status().generation, 1);
}

#[tokio::test]
async fn a_pipe_blocks_nothing() {
    let (place, store) = serving().await;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, place.path("pipe.json"), kind, mode, 0).unwrap();
    refuses(&store, &["pipe.json"]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::NotARegularFile);
}

#[tokio::test]
async fn links_lead_in_a_circle() {
    let (place, store) = serving().await;
    symlink("loop.json", place.path("loop.json")).unwrap();
    refuses(&store, &["loop.json"]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::SymlinkLoop);
}

#[tokio::test]
async fn a_link_leads_out() {
    let (place, store) = serving().await;
    crate::fixture::write(&place.beside("outside.json"), policy("outside"));
    symlink("../outside.json", place.path("out.json")).unwrap();
    refuses(&store, &["out.json"]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::SymlinkOutside);
    assert!(!serves(&store, "outside"));
}

#[tokio::test]
async fn an_entity_is_defined_twice() {
    let (place, store) = serving().await;
    place.write("again.json", policy("good"));
    let twice = |status: &portcullis_store::Status| {
        let rejection = status.rejection.as_ref();
        rejection
            .is_some_and(|found| found.diagnostics.iter().any(|found| found.code == Code::DuplicateEntity))
    };
    until(&store, "a duplicate", twice).await;
    assert!(serves(&store, "good"));
}

#[tokio::test]
async fn more_files_than_allowed() {
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    let limits = Limits { files: 1, ..Limits::default() };
    let store = Store::open(StoreOptions { limits, ..place.options() });
    generation(&store, 1).await;
    place.write("second.json", policy("second"));
    refuses(&store, &["."]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::TooManyFiles);
}

#[tokio::test]
async fn a_hundred_thousand_files_are_refused() {
    let (place, store) = serving().await;
    let many = place.beside("many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..100_000 {
        std::fs::File::create(many.join(format!("{number}.json"))).unwrap();
    }
    std::fs::rename(&many, place.path("many")).unwrap();
    refuses(&store, &["."]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::TooManyFiles);
}

#[tokio::test]
async fn files_that_every_user_may_write_are_refused_where_strictness_is_asked_for() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    let strict = StoreOptions { load_mode: portcullis_engine::LoadMode::Strict, ..place.options() };
    let store = Store::open(strict.clone());
    generation(&store, 1).await;
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(place.path("good.json"), open).unwrap();
    refuses(&store, &["good.json"]).await;
    assert_eq!(store.status().rejection.unwrap().diagnostics[0].code, Code::LoosePermissions);

    let lenient = place.open();
    generation(&lenient, 1).await;
    let load = portcullis_store::load_directory(&place.options());
    assert!(load.policy_set.is_some());
    let found: Vec<_> = load.diagnostics.iter().map(|found| (found.code, found.severity)).collect();
    assert!(found.contains(&(Code::LoosePermissions, portcullis_engine::Severity::Warning)), "{found:?}");
    assert!(portcullis_store::load_directory(&strict).policy_set.is_none());
}

#[tokio::test]
async fn rescans_without_end_are_one_scan_at_a_time() {
    let (_place, store) = serving().await;
    for _ in 0..1000 {
        store.rescan();
    }
    scanned(&store).await;
    assert_eq!(store.status().generation, 1);
    assert!(store.status().scans < 500, "{}", store.status().scans);
}
