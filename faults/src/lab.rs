//! Where faults are injected: the program under test, folders, and what this machine allows.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::fault::Need;

/// Cheap to clone; the folders go with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Lab(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    program: PathBuf,
    root: TempDir,
    kills: u32,
}

impl Lab {
    /// Takes the program beside this one unless told otherwise.
    pub(crate) fn open(program: Option<PathBuf>, kills: u32) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program,
            None => std::env::current_exe()?.with_file_name("portcullis"),
        };
        let missing = || format!("{} is not there; `cargo build -p portcullis` makes it", program.display());
        let program = program.canonicalize().with_context(missing)?;
        let root = tempfile::Builder::new().prefix("portcullis-faults-").tempdir()?;
        // Other users must be able to reach what is given to them.
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(Arc::new(Inner { program, root, kills })))
    }

    pub(crate) fn program(&self) -> &Path {
        &self.0.program
    }

    /// How often a process is killed.
    pub(crate) fn kills(&self) -> u32 {
        self.0.kills
    }

    /// A new folder for one fault.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.root.path().join(name);
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Why a need is not met; none when it is.
    pub(crate) fn lacks(&self, need: Need) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        match need {
            Need::Root => (!root).then(|| "needs root".to_owned()),
            Need::Mounts => (!root || !mounts_are_ours()).then(|| "needs root, to mount".to_owned()),
            Need::Program(program, package) => {
                which(program).is_none().then(|| format!("needs `{program}` (package {package})"))
            }
            Need::UserNamespace => {
                let made = std::process::Command::new("unshare")
                    .args(["--user", "--map-root-user", "test", "-w", "/proc/sys/user/max_inotify_instances"])
                    .stderr(std::process::Stdio::null())
                    .status();
                (!made.is_ok_and(|status| status.success())).then(|| "needs user namespaces".to_owned())
            }
            Need::FakeTime => {
                fake_time().is_none().then(|| "needs libfaketime (package libfaketime)".to_owned())
            }
            Need::Cgroup(controller) => cgroup_parent(controller)
                .is_none()
                .then(|| format!("needs root and a `{controller}` control group that may be written")),
        }
    }
}

/// Where a program is on the path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// libfaketime for programs with threads.
pub(crate) fn fake_time() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders
        .iter()
        .map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.is_file())
}

/// The folder in which a control group may be made: that of version 1 of the controller, or of version 2.
pub(crate) fn cgroup_parent(controller: &str) -> Option<PathBuf> {
    let old = Path::new("/sys/fs/cgroup").join(controller);
    let new = Path::new("/sys/fs/cgroup");
    let controls = std::fs::read_to_string(new.join("cgroup.subtree_control")).unwrap_or_default();
    let found = if old.is_dir() {
        old
    } else if controls.split_whitespace().any(|word| word == controller) {
        new.to_owned()
    } else {
        return None;
    };
    let trial = found.join(format!("portcullis-faults-trial-{}-{controller}", std::process::id()));
    std::fs::create_dir(&trial).ok()?;
    std::fs::remove_dir(&trial).ok()?;
    Some(found)
}

/// Set in the copy of this program that has a mount namespace of its own.
const NAMESPACE: &str = "PORTCULLIS_FAULTS_NAMESPACE";

fn mounts_are_ours() -> bool {
    std::env::var_os(NAMESPACE).is_some()
}

/// Begins again in a mount namespace of its own, so that no mount outlives this process however it ends. Returns when
/// that is not possible or was done.
pub(crate) fn leave_the_mounts_alone() -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt as _;
    if mounts_are_ours() || !rustix::process::geteuid().is_root() || which("unshare").is_none() {
        return Ok(());
    }
    let tried = std::process::Command::new("unshare").args(["--mount", "true"]).status()?;
    if !tried.success() {
        return Ok(());
    }
    let mut again = std::process::Command::new("unshare");
    again.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe()?);
    let failed = again.args(std::env::args_os().skip(1)).env(NAMESPACE, "1").exec();
    Err(failed).context("cannot begin again with mounts of its own")
}

/// Runs a program to its end and gives what it printed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output =
        std::process::Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), error.trim());
    Ok(text)
}
