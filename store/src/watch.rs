//! Events of the file system as hints to look soon.
//!
//! What an event says is not believed: it may be late, lost, doubled or under a wrong path. An event that could concern
//! the directory, and every error, is the same hint. Watches hang on the object and not on its name, so the watch is
//! made anew when the name leads to another directory. Without any watch the poll still finds every change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::read::{Identity, identity};

/// How long a watch that could not be made is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The watch on one directory object and on the place where its name is.
pub(crate) struct Watch {
    identity: Option<Identity>,
    live: bool,
    made_at: Instant,
    /// Watches as long as it lives.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// The same watch while the name leads to the same directory, else a new one. Blocks.
    pub(crate) fn renew(previous: Option<Self>, directory: &Path, wake: &Arc<Notify>) -> Self {
        let identity = identity(directory);
        if let Some(previous) = previous {
            let tired = !previous.live && identity.is_some() && previous.made_at.elapsed() > RETRY_AFTER;
            if previous.identity == identity && !tired {
                return previous;
            }
            // Dropped here: two inotify instances at once may be one too many.
        }
        let made = make(directory, identity.is_some(), wake);
        let (watcher, live) = match made {
            Ok((watcher, live)) => (Some(watcher), live),
            Err(error) => {
                tracing::warn!(%error, "cannot watch the policy directory; changes are noticed by polling");
                (None, false)
            }
        };
        Self { identity, live, made_at: Instant::now(), _watcher: watcher }
    }

    /// Do events of the directory itself arrive?
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }
}

/// A watcher, and whether it watches the directory or only the place where it should be.
fn make(directory: &Path, exists: bool, wake: &Arc<Notify>) -> notify::Result<(RecommendedWatcher, bool)> {
    let real = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let (name, inside, wake) = (directory.to_owned(), real.clone(), Arc::clone(wake));
    let links = links_above(directory);
    let above = links.clone();
    let config = notify::Config::default().with_follow_symlinks(false);
    let mut watcher = RecommendedWatcher::new(
        move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_hint(&event, &name, &inside, &above)) {
                wake.notify_one();
            }
        },
        config,
    )?;
    // The parent sees the name swapped, deleted and made again; that of a link above it sees the link swapped, as
    // git-sync does it.
    for parent in
        std::iter::once(directory).chain(links.iter().map(PathBuf::as_path)).filter_map(Path::parent)
    {
        if let Err(error) = watcher.watch(parent, RecursiveMode::NonRecursive) {
            tracing::debug!(%error, parent = %parent.display(), "cannot watch a place that leads to the policy directory");
        }
    }
    if !exists {
        return Ok((watcher, false));
    }
    watcher.watch(&real, RecursiveMode::Recursive)?;
    Ok((watcher, true))
}

/// The links among the folders that lead to the directory. Where the directory's own name is, is watched anyway.
fn links_above(directory: &Path) -> Vec<PathBuf> {
    directory.ancestors().skip(1).filter(|folder| folder.is_symlink()).map(Path::to_owned).collect()
}

/// Could the directory be different after this? Reading it, which the store itself does, is not a difference.
fn is_hint(event: &Event, name: &Path, inside: &Path, above: &[PathBuf]) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return false,
        _ => {}
    }
    let concerns =
        |path: &PathBuf| path.starts_with(name) || path.starts_with(inside) || above.contains(path);
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(concerns)
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, Flag};

    use super::*;

    fn hints(event: Event) -> bool {
        is_hint(&event, Path::new("/etc/policies"), Path::new("/data/v1"), &["/git/current".into()])
    }

    #[test]
    fn only_what_could_change_the_directory_is_a_hint() {
        let create = Event::new(EventKind::Create(CreateKind::File));
        assert!(hints(create.clone().add_path("/data/v1/a.json".into())));
        assert!(hints(create.clone().add_path("/etc/policies".into())), "the name itself was swapped");
        assert!(hints(create.clone().add_path("/git/current".into())), "a link above it was swapped");
        assert!(!hints(create.clone().add_path("/git/other".into())), "a neighbour of the link");
        assert!(!hints(create.clone().add_path("/etc/passwd".into())), "a neighbour");
        assert!(hints(create), "an event without a path may be anything");
        assert!(hints(Event::new(EventKind::Other).set_flag(Flag::Rescan).add_path("/elsewhere".into())));
    }

    #[test]
    fn reading_is_not_a_hint() {
        let access = |kind| Event::new(EventKind::Access(kind)).add_path("/data/v1/a.json".into());
        assert!(!hints(access(AccessKind::Open(AccessMode::Any))));
        assert!(!hints(access(AccessKind::Close(AccessMode::Read))));
        assert!(hints(access(AccessKind::Close(AccessMode::Write))));
    }
}
