//! A server as a process of its own on a processor of its own, and what it costs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;
use tempfile::TempDir;

use crate::{World, write_sources};

/// The processor of the servers. Those who ask have [`CLIENT_CPU`].
pub const SERVER_CPU: usize = 0;
/// The processor of those who ask.
pub const CLIENT_CPU: usize = 1;
/// Names the folder with the programs `portcullis` and `floor`.
pub const PROGRAMS_VARIABLE: &str = "PORTCULLIS_PROGRAMS";

const START_LIMIT: Duration = Duration::from_secs(60);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
    /// The address it listens on beside its Unix socket.
    pub address: SocketAddr,
}

impl Server {
    /// The sidecar with the policies of a world.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn sidecar(world: &World) -> Result<Self, String> {
        Self::decides(world, false)
    }

    /// The same with an audit file beside its policies, in the default mode.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn audited(world: &World) -> Result<Self, String> {
        Self::decides(world, true)
    }

    fn decides(world: &World, audit: bool) -> Result<Self, String> {
        let folder = folder()?;
        let policies = folder.path().join("policies");
        write_sources(&world.sources, &policies).map_err(|error| error.to_string())?;
        let address = free_address()?;
        let mut command = Command::new(program("portcullis")?);
        command.arg("serve").arg(policies).arg("--uds").arg(socket(&folder));
        command.arg("--listen").arg(address.to_string()).arg("--http-listen").arg("");
        if audit {
            command.arg("--audit-file").arg(folder.path().join("audit.jsonl"));
        }
        Self::start(command, folder, address)
    }

    /// cedar-policy on stock tonic with the policies of a world, when `floor` was built with the peers.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn cedar(world: &World) -> Result<Self, String> {
        let folder = folder()?;
        let policies = folder.path().join("policies");
        write_sources(&world.sources, &policies).map_err(|error| error.to_string())?;
        let address = free_address()?;
        let mut command = Command::new(program("floor")?);
        command.arg("serve").arg("--cedar").arg(policies);
        command.arg("--uds").arg(socket(&folder)).arg("--listen").arg(address.to_string());
        Self::start(command, folder, address)
    }

    /// The floor.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn floor() -> Result<Self, String> {
        let folder = folder()?;
        let address = free_address()?;
        let mut command = Command::new(program("floor")?);
        command.arg("serve").arg("--uds").arg(socket(&folder)).arg("--listen").arg(address.to_string());
        Self::start(command, folder, address)
    }

    fn start(mut command: Command, folder: TempDir, address: SocketAddr) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
        // A child begins where its parent may run.
        run_on(SERVER_CPU)?;
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"));
        run_on(CLIENT_CPU)?;
        Ok(Self { child: child?, folder, address })
    }

    /// Its Unix socket, once it answers there.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn socket(&self) -> Result<PathBuf, String> {
        let (path, begun) = (socket(&self.folder), Instant::now());
        while std::os::unix::net::UnixStream::connect(&path).is_err() {
            if begun.elapsed() > START_LIMIT {
                return Err("the server does not start".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(path)
    }

    /// Bytes of the audit files of a sidecar that has one; only the last are kept.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn audit_bytes(&self) -> Result<u64, String> {
        let entries = std::fs::read_dir(self.folder.path()).map_err(|error| error.to_string())?;
        let audit = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("audit"));
        Ok(audit.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum())
    }

    /// The policy directory of a sidecar.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.folder.path().join("policies")
    }

    /// Processor time it has used.
    ///
    /// # Errors
    /// When it is gone.
    pub fn processor_time(&self) -> Result<Duration, String> {
        let stat = self.process()?.stat().map_err(|error| error.to_string())?;
        let ticks = stat.utime + stat.stime;
        Ok(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
    }

    /// Bytes it has in memory.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resident_bytes(&self) -> Result<u64, String> {
        let status = self.process()?.status().map_err(|error| error.to_string())?;
        Ok(status.vmrss.unwrap_or_default() * 1024)
    }

    fn process(&self) -> Result<procfs::process::Process, String> {
        let id = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        procfs::process::Process::new(id).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is a child of ours, so it is there until it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this thread, and the processes and threads it makes, run on one processor; on a machine with one, that one.
///
/// # Errors
/// When the system refuses.
pub fn run_on(processor: usize) -> Result<(), String> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(processor.min(count.max(2) - 1));
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot choose a processor: {error}"))
}

fn folder() -> Result<TempDir, String> {
    TempDir::new().map_err(|error| error.to_string())
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("socket")
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// A program of the workspace, built for release.
fn program(name: &str) -> Result<PathBuf, String> {
    let folder = std::env::var_os(PROGRAMS_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!(
        "{} is not there: `cargo build --release -p portcullis -p portcullis-benches`",
        path.display()
    ))
}
