//! A record comes back as it was, or not at all.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::read::Source;

const DAY: Duration = Duration::from_secs(86_400);

fn options(directory: &Path) -> StateOptions {
    StateOptions { directory: directory.join("state"), age_max: DAY }
}

fn sources() -> Vec<Packed> {
    let source = |name: &str, text: &str| Packed::of(&Source { name: name.to_owned(), bytes: text.into() });
    vec![source("a.json", &"{}".repeat(500)), source("d/b.json", "")]
}

fn revision() -> Revision {
    Revision::new(*blake3::hash(b"r").as_bytes())
}

fn policies() -> &'static Path {
    Path::new("/etc/policies")
}

fn load(last_good: &LastGood) -> Result<Option<Record>, StateError> {
    last_good.load(policies(), &Limits::default())
}

#[test]
fn what_was_saved_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let mut last_good = LastGood::open(options(place.path())).unwrap();
    assert!(load(&last_good).unwrap().is_none());
    assert!(last_good.is_due(revision()));
    last_good.save(policies(), revision(), &sources()).unwrap();
    assert!(!last_good.is_due(revision()));
    assert!(last_good.is_due(Revision::new([0; 32])));
    let record = load(&last_good).unwrap().unwrap();
    assert_eq!((record.revision, record.version.as_str()), (revision(), env!("CARGO_PKG_VERSION")));
    let names: Vec<_> =
        record.sources.iter().map(|source| (source.name.as_str(), source.bytes.len())).collect();
    assert_eq!(names, [("a.json", 1000), ("d/b.json", 0)]);
    let mode = std::fs::metadata(place.path().join("state/last-good")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_torn_or_changed_record_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut last_good = LastGood::open(options(place.path())).unwrap();
    last_good.save(policies(), revision(), &sources()).unwrap();
    let path = place.path().join("state/last-good");
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(load(&last_good), Err(StateError::Damaged)), "cut at {length}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(matches!(load(&last_good), Err(StateError::Damaged)), "changed at {at}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(load(&last_good).unwrap().is_some());
}

#[test]
fn a_record_of_another_time_place_or_version_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let last_good = LastGood::open(options(place.path())).unwrap();
    let path = place.path().join("state/last-good");
    let put = |saved_at: SystemTime| {
        std::fs::write(&path, record::encode(policies(), saved_at, revision(), &[])).unwrap();
        load(&last_good)
    };
    let now = SystemTime::now();
    assert!(put(now - DAY / 2).unwrap().is_some());
    assert!(matches!(put(now - DAY * 2), Err(StateError::TooOld(_))));
    assert!(put(now + SKEW_MAX / 2).unwrap().is_some());
    assert!(matches!(put(now + DAY), Err(StateError::Future)));
    assert!(matches!(put(SystemTime::UNIX_EPOCH), Err(StateError::TooOld(_))));

    put(now).unwrap();
    let elsewhere = last_good.load(Path::new("/etc/other"), &Limits::default());
    assert!(matches!(elsewhere, Err(StateError::Elsewhere(place)) if place == "/etc/policies"));
    assert!(record::is_readable_here(env!("CARGO_PKG_VERSION")) && !record::is_readable_here("99.0.0"));
}

#[test]
fn a_record_that_others_may_write_or_that_is_no_file_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut last_good = LastGood::open(options(place.path())).unwrap();
    last_good.save(policies(), revision(), &sources()).unwrap();
    let path = place.path().join("state/last-good");
    for mode in [0o660, 0o602] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(load(&last_good), Err(StateError::NotOurs)), "{mode:o}");
    }
    std::fs::rename(&path, place.path().join("state/real")).unwrap();
    std::os::unix::fs::symlink("real", &path).unwrap();
    assert!(matches!(load(&last_good), Err(StateError::System(Errno::LOOP))));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(load(&last_good), Err(StateError::NotAFile)));
    assert!(last_good.save(policies(), revision(), &sources()).is_err(), "a folder is not replaced");
}

#[test]
fn a_record_over_the_limits_of_the_directory_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut last_good = LastGood::open(options(place.path())).unwrap();
    last_good.save(policies(), revision(), &sources()).unwrap();
    for (limits, fits) in [
        (Limits { total_bytes: 1000, files: 2, ..Limits::default() }, true),
        (Limits { total_bytes: 999, ..Limits::default() }, false),
        (Limits { files: 1, ..Limits::default() }, false),
    ] {
        let loaded = last_good.load(policies(), &limits);
        assert_eq!(matches!(loaded, Ok(Some(_))), fits, "{loaded:?}");
        assert!(fits || matches!(loaded, Err(StateError::TooLarge)));
    }
}

#[test]
fn one_process_writes() {
    let place = tempfile::tempdir().unwrap();
    let first = LastGood::open(options(place.path())).unwrap();
    let second = LastGood::open(options(place.path())).unwrap();
    assert!(first.is_locked() && first.is_due(revision()));
    assert!(!second.is_locked() && !second.is_due(revision()));
    drop(first);
    assert!(LastGood::open(options(place.path())).unwrap().is_locked());
}
