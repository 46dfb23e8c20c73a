//! Reading directories as people, mounts and attackers make them.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn read(directory: &Path) -> Reading {
    read_within(directory, Limits::default())
}

fn read_within(directory: &Path, limits: Limits) -> Reading {
    read_directory(directory, &Rules { limits, strict: false })
}

fn names(reading: &Reading) -> Vec<&str> {
    reading.sources.iter().map(|source| source.name.as_str()).collect()
}

fn faults(reading: &Reading) -> Vec<(&str, &FaultKind)> {
    reading.faults.iter().map(|fault| (fault.file.as_str(), &fault.kind)).collect()
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(root: &tempfile::TempDir, name: &str, text: &str) {
    let path = root.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_tree_is_read_sorted_and_hidden_names_are_skipped() {
    let root = root();
    for name in ["b.json", "a/z.json", "a.json", ".hidden.json", ".git/x.json", "notes.txt", "a/b/c/d.json"] {
        write(&root, name, name);
    }
    let reading = read(root.path());
    assert_eq!(names(&reading), ["a.json", "a/b/c/d.json", "a/z.json", "b.json"]);
    assert_eq!(faults(&reading), []);
    assert_eq!(reading.sources[0].bytes, b"a.json");
}

#[test]
fn the_revision_is_of_names_and_contents_only() {
    let (one, two) = (root(), root());
    for root in [&one, &two] {
        write(root, "a.json", "ab");
        write(root, "b.json", "c");
    }
    assert_eq!(read(one.path()).revision, read(two.path()).revision);
    write(&two, "a.json", "a");
    write(&two, "b.json", "bc");
    assert_ne!(read(one.path()).revision, read(two.path()).revision);
    write(&two, "a.json", "ab");
    write(&two, "b.json", "c");
    write(&two, "c.json", "");
    assert_ne!(read(one.path()).revision, read(two.path()).revision);
}

#[test]
fn links_stay_beneath_the_root() {
    let (outside, root) = (root(), root());
    write(&outside, "secret.json", "secret");
    write(&root, "real/a.json", "a");
    write(&root, "plain.txt", "text");
    symlink("real/a.json", root.path().join("link.json")).unwrap();
    symlink("../real/a.json", root.path().join("real/up.json")).unwrap();
    symlink("real", root.path().join("folder")).unwrap();
    assert_eq!(
        names(&read(root.path())),
        ["folder/a.json", "folder/up.json", "link.json", "real/a.json", "real/up.json"]
    );

    symlink(outside.path().join("secret.json"), root.path().join("absolute.json")).unwrap();
    let above = format!("../{}/secret.json", outside.path().file_name().unwrap().to_str().unwrap());
    symlink(&above, root.path().join("above.json")).unwrap();
    symlink(outside.path(), root.path().join("tree")).unwrap();
    let reading = read(root.path());
    assert_eq!(
        faults(&reading),
        [
            ("above.json", &FaultKind::Escapes),
            ("absolute.json", &FaultKind::Escapes),
            ("tree", &FaultKind::Escapes)
        ]
    );
    assert!(reading.sources.iter().all(|source| source.bytes != b"secret"));
}

#[test]
fn link_loops_end() {
    let root = root();
    write(&root, "a/b/x.json", "x");
    symlink("../..", root.path().join("a/b/top")).unwrap();
    symlink("one.json", root.path().join("two.json")).unwrap();
    symlink("two.json", root.path().join("one.json")).unwrap();
    symlink(".", root.path().join("self")).unwrap();
    symlink("gone", root.path().join("dangling.json")).unwrap();
    let reading = read(root.path());
    assert_eq!(
        faults(&reading),
        [
            ("a/b/top/", &FaultKind::Loop),
            ("dangling.json", &FaultKind::Dangling),
            ("one.json", &FaultKind::Loop),
            ("self/", &FaultKind::Loop),
            ("two.json", &FaultKind::Loop),
        ]
    );
    assert_eq!(names(&reading), ["a/b/x.json"]);
}

#[test]
fn what_is_not_a_regular_file_is_not_opened() {
    let root = root();
    write(&root, "a.json", "a");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    for name in ["pipe.json", "pipe"] {
        rustix::fs::mknodat(rustix::fs::CWD, root.path().join(name), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket.json")).unwrap();
    symlink("pipe", root.path().join("link.json")).unwrap();
    let reading = read(root.path());
    assert_eq!(names(&reading), ["a.json"]);
    assert_eq!(
        faults(&reading),
        [
            ("link.json", &FaultKind::NotAFile),
            ("pipe.json", &FaultKind::NotAFile),
            ("socket.json", &FaultKind::NotAFile)
        ]
    );
}

#[test]
fn every_limit_holds_on_both_sides() {
    let root = root();
    write(&root, "a.json", "1234");
    write(&root, "b.json", "5678");
    write(&root, "d1/d2/c.json", "");
    let exact = Limits { file_bytes: 4, total_bytes: 8, files: 3, entries: 64, depth: 2 };
    let none: [(&str, &FaultKind); 0] = [];
    assert_eq!(faults(&read_within(root.path(), exact)), none);
    let short = |limits: Limits| read_within(root.path(), limits).faults.into_iter().map(|f| f.kind).next();
    assert_eq!(short(Limits { file_bytes: 3, ..exact }), Some(FaultKind::TooLarge(3)));
    assert_eq!(short(Limits { total_bytes: 7, ..exact }), Some(FaultKind::TooLargeTogether(7)));
    assert_eq!(short(Limits { files: 2, ..exact }), Some(FaultKind::TooManyFiles(2)));
    assert_eq!(short(Limits { entries: 3, ..exact }), Some(FaultKind::TooManyEntries(3)));
    assert_eq!(short(Limits { depth: 1, ..exact }), Some(FaultKind::TooDeep(1)));
}

#[test]
fn a_huge_file_is_refused_unread() {
    let root = root();
    let file = File::create(root.path().join("huge.json")).unwrap();
    file.set_len(1 << 30).unwrap();
    let reading = read(root.path());
    assert_eq!(faults(&reading), [("huge.json", &FaultKind::TooLarge(64 << 20))]);
}

#[test]
fn names_that_could_forge_log_lines_are_refused_by_name() {
    use std::os::unix::ffi::OsStrExt;
    let root = root();
    for name in [&b"a\nb.json"[..], b"a\xff.json", b"fine\xff.txt"] {
        std::fs::write(root.path().join(std::ffi::OsStr::from_bytes(name)), "{}").unwrap();
    }
    let reading = read(root.path());
    assert_eq!(faults(&reading), [("a\\nb.json", &FaultKind::Name), ("a\\xff.json", &FaultKind::Name)]);
}

#[test]
fn what_others_may_write_is_a_fault_where_strictness_is_asked_for() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = root();
    let open = |name: &str, mode| {
        std::fs::set_permissions(root.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let strict = || read_directory(root.path(), &Rules { limits: Limits::default(), strict: true });
    for name in ["a.json", "b.json", "d/c.json"] {
        write(&root, name, "{}");
        open(name, 0o664);
    }
    open("d", 0o775);
    let tight = strict();
    assert_eq!(faults(&tight), [], "a group may be trusted");
    open("a.json", 0o666);
    open("d", 0o777);
    assert_eq!(faults(&strict()), [("a.json", &FaultKind::Writable(1))]);
    assert_ne!(strict().revision, tight.revision, "a mode that changes is judged anew");
    let lenient = read(root.path());
    assert_eq!((faults(&lenient), lenient.revision), (Vec::new(), tight.revision));
    let found: Vec<_> = lenient.exposure.faults().collect();
    assert_eq!(found, [Fault::new("a.json", FaultKind::Writable(1))]);
}

#[test]
fn a_root_that_is_missing_or_a_file_is_a_fault() {
    let root = root();
    write(&root, "file", "");
    let missing = read(&root.path().join("absent"));
    assert_eq!(missing.faults.first().map(|fault| &fault.kind), Some(&FaultKind::Missing));
    let file = read(&root.path().join("file"));
    assert_eq!(file.faults.first().map(|fault| &fault.kind), Some(&FaultKind::NotADirectory));
    assert_ne!(missing.revision, file.revision);
}

#[test]
fn a_config_map_is_read_from_the_one_directory_it_names() {
    let root = root();
    write(&root, "..v1/a.json", "one");
    write(&root, "..v2/a.json", "two");
    write(&root, "stray.json", "not part of the mount");
    symlink("..v1", root.path().join("..data")).unwrap();
    symlink("..data/a.json", root.path().join("a.json")).unwrap();
    let reading = read(root.path());
    assert_eq!(names(&reading), ["a.json"]);
    assert_eq!(reading.sources[0].bytes, b"one");
    symlink("..v2", root.path().join("..tmp")).unwrap();
    std::fs::rename(root.path().join("..tmp"), root.path().join("..data")).unwrap();
    assert_eq!(read(root.path()).sources[0].bytes, b"two");
    std::fs::remove_dir_all(root.path().join("..v2")).unwrap();
    assert_eq!(faults(&read(root.path())), [("..data", &FaultKind::Dangling)]);
}

#[test]
fn a_change_between_the_two_looks_is_seen() {
    type Change = fn(&tempfile::TempDir);
    let changes: [(&str, Change); 6] = [
        ("grown", |root| write(root, "a.json", "longer")),
        ("removed", |root| std::fs::remove_file(root.path().join("a.json")).unwrap()),
        ("added", |root| write(root, "b.json", "b")),
        ("replaced", |root| {
            write(root, ".new", "A");
            std::fs::rename(root.path().join(".new"), root.path().join("a.json")).unwrap();
        }),
        ("made a link", |root| {
            write(root, ".new", "a");
            std::fs::remove_file(root.path().join("a.json")).unwrap();
            symlink(".new", root.path().join("a.json")).unwrap();
        }),
        ("made a mount", |root| {
            write(root, "..v1/a.json", "a");
            symlink("..v1", root.path().join("..data")).unwrap();
        }),
    ];
    let limits = Limits::default();
    for (name, change) in changes {
        let root = root();
        write(&root, "a.json", "a");
        let look = Look::take(root.path(), &limits).unwrap();
        assert!(look.read(false).is_some() && look.still_holds(), "{name}: nothing has changed yet");
        change(&root);
        assert!(!look.still_holds(), "{name}");
        assert!(look.read(false).is_none_or(|reading| reading.sources[0].bytes == b"a"), "{name}");
        assert!(read(root.path()).faults.is_empty(), "{name}");
    }
}

#[test]
fn a_directory_that_lost_its_name_is_not_what_is_read() {
    let base = root();
    for version in ["v1", "v2"] {
        write(&base, &format!("{version}/a.json"), version);
        write(&base, &format!("{version}/b.json"), version);
    }
    let (link, next) = (base.path().join("current"), base.path().join("next"));
    symlink("v1", &link).unwrap();
    // Opened before the swap, looked at when half of it is deleted already.
    let limits = Limits::default();
    let opened = Look::take(&link, &limits).unwrap();
    symlink("v2", &next).unwrap();
    std::fs::rename(&next, &link).unwrap();
    std::fs::remove_file(base.path().join("v1/a.json")).unwrap();
    let look = Look { listing: Listing::of(&opened.root, &opened.base, &limits), ..opened };
    assert_eq!(names(&look.read(false).unwrap()), ["b.json"]);
    assert!(!look.still_holds());
    assert_eq!(read(&link).sources[0].bytes, b"v2");
    std::fs::remove_file(&link).unwrap();
    assert!(!look.still_holds(), "nor one whose name is gone");
}

#[test]
fn versions_of_a_swapped_directory_are_never_mixed() {
    let root = root();
    let swap = |version: u32| {
        let name = format!("..v{version}");
        for file in 0..8 {
            write(&root, &format!("{name}/f{file}.json"), &version.to_string());
        }
        symlink(&name, root.path().join("..tmp")).unwrap();
        std::fs::rename(root.path().join("..tmp"), root.path().join("..data")).unwrap();
        if let Some(last) = version.checked_sub(1) {
            let _ = std::fs::remove_dir_all(root.path().join(format!("..v{last}")));
        }
    };
    swap(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut whole = 0;
            while !done.load(Ordering::Relaxed) {
                let reading = read(root.path());
                if !reading.faults.is_empty() {
                    continue;
                }
                assert_eq!(reading.sources.len(), 8);
                let first = &reading.sources[0].bytes;
                assert!(
                    reading.sources.iter().all(|source| source.bytes == *first),
                    "two versions in one reading"
                );
                whole += 1;
            }
            whole
        });
        for version in 1..200 {
            swap(version);
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}
