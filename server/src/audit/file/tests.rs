//! Real files: what is opened, repaired, rotated and followed.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const NEVER: Rotation = Rotation { bytes: 0, age: None, files_max: 0, total_bytes_max: 0 };

fn destination(path: &Path, rotation: Rotation) -> Destination {
    let mut destination = Destination::new(Some(path.to_owned()), rotation, Box::new(open));
    destination.open().unwrap();
    destination
}

fn append(destination: &mut Destination, line: &str) {
    destination.follow_path();
    destination.make_way(line.len());
    destination.open().unwrap();
    destination.append(line.as_bytes()).unwrap();
}

#[test]
fn a_new_file_is_for_its_owner_and_group() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    append(&mut destination(&path, NEVER), "{}\n");
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !0o640, 0, "{mode:o}");
    assert_eq!(fs::read(&path).unwrap(), b"{}\n");
}

#[test]
fn a_torn_end_gets_an_end_and_the_chain_goes_on_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    fs::write(&path, "{\"a\":1}\n{\"b\"").unwrap();
    let mut destination = Destination::new(Some(path.clone()), NEVER, Box::new(open));
    let found = destination.open().unwrap().unwrap();
    assert_eq!(found, Found { torn: true, last_hash: Some(blake3::hash(b"{\"b\"").into()) });
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\"\n");
    assert_eq!(destination.open().unwrap(), None);
}

#[test]
fn an_empty_file_goes_on_from_the_newest_that_was_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    fs::write(directory.path().join("audit.jsonl.000009"), "old\n").unwrap();
    fs::write(directory.path().join("audit.jsonl.000010"), "older\nnewest\n").unwrap();
    let mut destination = Destination::new(Some(path), NEVER, Box::new(open));
    let found = destination.open().unwrap().unwrap();
    assert_eq!(found.last_hash, Some(blake3::hash(b"newest").into()));
}

#[test]
fn a_full_file_is_set_aside_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    fs::write(directory.path().join("audit.jsonl.other"), "not ours").unwrap();
    let mut destination = destination(&path, Rotation { bytes: 10, files_max: 2, ..NEVER });
    for number in 0..6 {
        append(&mut destination, &format!("line {number}\n"));
    }
    assert_eq!(destination.rotations(), 5);
    let kept: Vec<_> = rotation::set_aside(&path).unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(kept, [4, 5]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "line 5\n");
    assert_eq!(fs::read_to_string(directory.path().join("audit.jsonl.000005")).unwrap(), "line 4\n");
    assert!(directory.path().join("audit.jsonl.other").exists());
}

#[test]
fn a_file_that_is_given_up_takes_no_older_one_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut destination = destination(&path, Rotation { files_max: 1, ..NEVER });
    for number in 0..3 {
        append(&mut destination, &format!("line {number}\n"));
        destination.set_aside_now();
    }
    assert_eq!(rotation::set_aside(&path).unwrap().len(), 3);
}

#[test]
fn a_file_that_cannot_be_set_aside_grows_on_and_replaces_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let last = directory.path().join(format!("audit.jsonl.{}", u64::MAX));
    fs::write(&last, "somebody's\n").unwrap();
    let mut destination = destination(&path, Rotation { bytes: 10, ..NEVER });
    for number in 0..3 {
        append(&mut destination, &format!("line {number}\n"));
    }
    assert_eq!(destination.rotations(), 0);
    assert_eq!(fs::read_to_string(&last).unwrap(), "somebody's\n");
    fs::remove_file(&last).unwrap();
    append(&mut destination, "line 3\n");
    assert_eq!(destination.rotations(), 0, "it is not tried with every write");
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
}

#[test]
fn only_a_file_of_which_nothing_is_on_the_disk_is_emptied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut destination = destination(&path, NEVER);
    append(&mut destination, "lost\n");
    assert!(destination.empty_now());
    assert_eq!(fs::read(&path).unwrap(), b"");
    append(&mut destination, "kept\n");
    destination.sync().unwrap();
    append(&mut destination, "lost\n");
    assert!(!destination.empty_now());
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept\nlost\n");
    drop(destination);
    let mut later = Destination::new(Some(path.clone()), NEVER, Box::new(open));
    later.open().unwrap();
    assert!(!later.empty_now(), "what was there before stays");
}

#[test]
fn the_sum_of_old_files_is_bounded_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut destination = destination(&path, Rotation { bytes: 10, total_bytes_max: 21, ..NEVER });
    for _ in 0..9 {
        append(&mut destination, "line 0\n");
    }
    assert_eq!(rotation::set_aside(&path).unwrap().len(), 3);
}

#[test]
fn an_old_file_is_set_aside_when_it_holds_something() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut destination = destination(&path, Rotation { age: Some(Duration::ZERO), ..NEVER });
    append(&mut destination, "a\n");
    assert_eq!(destination.rotations(), 0);
    append(&mut destination, "b\n");
    assert_eq!(destination.rotations(), 1);
}

#[test]
fn a_file_that_was_moved_or_deleted_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("logs");
    fs::create_dir(&home).unwrap();
    let path = home.join("audit.jsonl");
    let moved = directory.path().join("moved");
    let mut destination = destination(&path, NEVER);
    append(&mut destination, "a\n");
    fs::rename(&path, &moved).unwrap();
    append(&mut destination, "b\n");
    fs::remove_file(&path).unwrap();
    append(&mut destination, "c\n");
    assert_eq!(fs::read_to_string(moved).unwrap(), "a\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
    fs::remove_file(&path).unwrap();
    fs::remove_dir(&home).unwrap();
    destination.follow_path();
    assert!(destination.open().is_err(), "the directory is gone");
    fs::create_dir(home).unwrap();
    append(&mut destination, "d\n");
    assert_eq!(fs::read_to_string(path).unwrap(), "d\n");
}

#[test]
fn a_named_pipe_needs_a_reader() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert_eq!(open(Some(&path)).unwrap_err().to_string(), "is a named pipe that nobody reads");
    let reader = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            io::BufRead::read_line(&mut io::BufReader::new(File::open(path).unwrap()), &mut line).unwrap();
            line
        })
    };
    let mut destination = Destination::new(Some(path), NEVER, Box::new(open));
    while destination.open().is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    destination.append(b"line\n").unwrap();
    destination.sync().unwrap();
    assert_eq!(reader.join().unwrap(), "line\n");
}

/// A medium that gets nothing onto the disk.
#[derive(Debug)]
struct Forgetful;

impl Medium for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn cut(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(5))
    }
    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((0, 0))
    }
}

#[test]
fn a_sync_stands_for_the_file_that_was_rotated_before_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let mut opened = 0;
    let opener: Opener = Box::new(move |path| {
        opened += 1;
        let real = open(path)?;
        Ok(if opened == 1 { Opened { medium: Box::new(Forgetful), ..real } } else { real })
    });
    let mut destination = Destination::new(Some(path), Rotation { bytes: 10, ..NEVER }, opener);
    destination.open().unwrap();
    destination.append(b"line 0\n").unwrap();
    destination.make_way(7);
    assert_eq!(destination.rotations(), 1);
    destination.open().unwrap();
    destination.append(b"line 1\n").unwrap();
    assert!(destination.sync().is_err(), "the first line is not on the disk");
    destination.sync().unwrap();
}

/// A medium with room for a few bytes.
#[derive(Debug)]
struct Small {
    bytes: Vec<u8>,
    room: usize,
    cuttable: bool,
}

impl Medium for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room - self.bytes.len());
        if count == 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
    fn cut(&mut self, length: u64) -> io::Result<()> {
        if !self.cuttable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.bytes.truncate(length as usize);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((0, 0))
    }
}

#[test]
fn a_short_write_leaves_whole_lines_or_is_continued() {
    for (room, cuttable, regular, expected) in
        [(7, true, true, 4), (7, false, true, 7), (7, true, false, 7), (8, true, true, 8), (3, true, true, 0)]
    {
        let opener: Opener = Box::new(move |_| {
            let medium = Box::new(Small { bytes: Vec::new(), room, cuttable });
            Ok(Opened { medium, regular, length: 0, torn: false, last_hash: None })
        });
        let mut destination = Destination::new(None, NEVER, opener);
        destination.open().unwrap();
        let Interrupted { written, error } = destination.append(b"aaa\nbbb\nccc\n").unwrap_err();
        assert_eq!((written, error.kind()), (expected, ErrorKind::StorageFull), "room {room}");
        let opened = destination.open.as_ref().unwrap();
        assert_eq!(opened.medium.length().unwrap(), expected as u64);
    }
}
