//! A disk in memory that can be full, slow, broken or lying.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::audit::file::{Medium, Opened, Opener};

#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    inner: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    bytes: Vec<u8>,
    synced: usize,
    syncs: usize,
    room: Option<usize>,
    held: bool,
    fail_syncs: usize,
    panic: bool,
    deleted: bool,
    pub(crate) failures: usize,
}

impl State {
    pub(crate) fn syncs(&self) -> usize {
        self.syncs
    }

    pub(crate) fn lines(&self) -> usize {
        self.bytes.iter().filter(|byte| **byte == b'\n').count()
    }
}

impl Disk {
    pub(crate) fn opener(&self) -> Opener {
        let disk = self.clone();
        Box::new(move |_| {
            disk.with(|state| {
                if std::mem::take(&mut state.deleted) {
                    *state = State { failures: state.failures, ..State::default() };
                }
            });
            let bytes = disk.bytes();
            let last_hash = bytes
                .strip_suffix(b"\n")
                .and_then(|bytes| bytes.rsplit(|byte| *byte == b'\n').next())
                .map(|line| blake3::hash(line).into());
            let length = bytes.len() as u64;
            Ok(Opened { medium: Box::new(disk.clone()), regular: true, length, torn: false, last_hash })
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (state, changed) = &*self.inner;
        let result = change(&mut state.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        changed.notify_all();
        result
    }

    /// Writes wait until [`Disk::go_on`].
    pub(crate) fn hold(&self) {
        self.with(|state| state.held = true);
    }

    pub(crate) fn go_on(&self) {
        self.with(|state| state.held = false);
    }

    pub(crate) fn set_room(&self, room: Option<usize>) {
        self.with(|state| state.room = room);
    }

    /// The file loses its name; what is opened next is an empty one, with all the room.
    pub(crate) fn delete(&self) {
        self.with(|state| state.deleted = true);
    }

    pub(crate) fn fail_next_syncs(&self, count: usize) {
        self.with(|state| state.fail_syncs = count);
    }

    pub(crate) fn panic_next(&self) {
        self.with(|state| state.panic = true);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with(|state| state.bytes.clone())
    }

    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        parsed(&self.bytes())
    }

    pub(crate) fn synced_lines(&self) -> Vec<serde_json::Value> {
        parsed(self.synced_text().as_bytes())
    }

    pub(crate) fn synced_text(&self) -> String {
        self.with(|state| String::from_utf8(state.bytes.get(..state.synced).unwrap().to_vec()).unwrap())
    }

    pub(crate) fn synced_all(&self) -> bool {
        self.with(|state| state.synced == state.bytes.len())
    }

    pub(crate) fn syncs(&self) -> usize {
        self.with(|state| state.syncs)
    }

    pub(crate) async fn until(&self, reached: impl Fn(&State) -> bool) {
        let waiting = async {
            while !self.with(|state| reached(state)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the disk gets there");
    }
}

fn parsed(bytes: &[u8]) -> Vec<serde_json::Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

impl Medium for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (state, changed) = &*self.inner;
        let state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut state = changed.wait_while(state, |state| state.held).unwrap();
        if std::mem::take(&mut state.panic) {
            drop(state);
            panic!("the disk breaks on purpose");
        }
        let room = state.room.map_or(bytes.len(), |room| room.saturating_sub(state.bytes.len()));
        if room == 0 {
            state.failures += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        // Never all at once: a short write is what a kernel does.
        let count = room.min(bytes.len()).min(1_000);
        state.bytes.extend_from_slice(bytes.get(..count).unwrap());
        Ok(count)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.with(|state| state.bytes.len() as u64))
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.with(|state| state.bytes.truncate(length as usize));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state| {
            if state.fail_syncs > 0 {
                state.fail_syncs -= 1;
                return Err(io::Error::from_raw_os_error(5));
            }
            state.synced = state.bytes.len();
            state.syncs += 1;
            Ok(())
        })
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        // The path of the tests names nothing.
        self.with(|state| state.deleted.then_some((1, 1))).ok_or(io::ErrorKind::Unsupported.into())
    }
}
