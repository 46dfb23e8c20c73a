//! F35-F52: what stands in a policy directory, and what the system refuses.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_client::Authorizer as _;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::content::{good_folder, put};
use crate::fault::{Fault, Need, Outcome};
use crate::lab::{Lab, output};
use crate::policies::{GOOD, allow, arn, user};
use crate::sidecar::{NEVER, Plan, Sidecar, pause, question, until};
use crate::trouble::{Before, told};

pub(crate) fn faults() -> Vec<Fault> {
    let strace = Need::Program("strace", "strace");
    vec![
        Fault::new("F35", "permission denied", "mode 000 on a file, then on the folder; not root", denied)
            .needs(Need::Program("setpriv", "util-linux")),
        Fault::new("F36", "pipe, socket, device", "each under a *.json name", not_files),
        Fault::new("F37", "links in a circle", "two links to each other, a link to the folder above", circle),
        Fault::new("F38", "links out of the directory", "an absolute one, and one with `..`", outside),
        Fault::new("F39", "hard link to a stranger's file", "a link to a file of user 65534", hard_link)
            .needs(Need::Root),
        Fault::new("F40", "file that everybody may write", "chmod 666", writable),
        Fault::new("F41", "no inotify instance left", "a user namespace with none", no_instances)
            .needs(Need::UserNamespace),
        Fault::new("F42", "no inotify watch left", "a user namespace with one", no_watches)
            .needs(Need::UserNamespace),
        Fault::new("F43", "event queue overflows", "SIGSTOP, 40,000 events, SIGCONT, no poll", overflow)
            .slow(),
        Fault::new("F44", "unmounted under us", "umount of a tmpfs, then mounted again", unmounted)
            .needs(Need::Mounts),
        Fault::new("F45", "a change without an event", "the lower layer of an overlay is written", overlay)
            .needs(Need::Mounts),
        Fault::new("F46", "EIO on read", "strace makes reads of one file fail", broken_read).needs(strace),
        Fault::new("F47", "reads that hang", "strace holds reads of one file for 31 s", hanging)
            .needs(strace)
            .slow(),
        Fault::new(
            "F48",
            "writer killed in the middle",
            "kill -9 of a shell that has written half",
            half_written,
        ),
        Fault::elsewhere(
            "F49",
            "several files changed in place",
            "no manifest is built: a set of files is changed whole by a swap (F28, F29) or a rename of the folder (F27); \
             files changed one by one are read one by one once the folder is quiet",
        ),
        Fault::new("F50", "names that could forge a line", "newline, not UTF-8, 255 bytes, bidi", names),
        Fault::new("F51", "100,000 files", "renamed in at once", crowd).slow(),
        Fault::new(
            "F52",
            "no descriptor left for a scan",
            "RLIMIT_NOFILE of the process lowered to 3",
            no_descriptors,
        ),
    ]
}

/// Not the superuser, who may read everything.
fn unprivileged(plan: Plan) -> Plan {
    if !rustix::process::geteuid().is_root() {
        return plan;
    }
    plan.before(&["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
}

fn mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| path.display().to_string())
}

async fn denied(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F35")?;
    mode(&folder, 0o755)?;
    mode(&folder.join("good.json"), 0o644)?;
    let sidecar = unprivileged(Plan::new(&lab, &folder)).serving().await?;
    for place in [folder.join("good.json"), folder.clone()] {
        let before = Before::of(&sidecar).await?;
        mode(&place, 0o000)?;
        let found = before.stays(&sidecar).await?;
        ensure!(found.iter().any(|one| one.message.contains("permission denied")), "another finding");
        mode(&place, 0o755)?;
        before.returns(&sidecar).await?;
    }
    Ok("last good stays, for a file and for the folder".to_owned())
}

async fn not_files(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F36")?;
    let next = folder.join(".next");
    fs::create_dir(&next)?;
    let all = Mode::from_raw_mode(0o644);
    mknodat(CWD, next.join("pipe.json"), FileType::Fifo, all, 0)?;
    drop(std::os::unix::net::UnixListener::bind(next.join("socket.json"))?);
    let root = rustix::process::geteuid().is_root();
    let mut made = 2;
    if root && mknodat(CWD, next.join("device.json"), FileType::CharacterDevice, all, makedev(1, 3)).is_ok() {
        made += 1;
    }
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    fs::rename(&next, folder.join("odd"))?;
    let found = before.stays(&sidecar).await?;
    let odd = found.iter().filter(|one| one.code == "not-a-regular-file").count();
    ensure!(odd == made, "{odd} of {made} are refused");
    fs::remove_dir_all(folder.join("odd"))?;
    before.returns(&sidecar).await?;
    let device = if made == 3 { "pipe, socket and device" } else { "pipe and socket (a device needs root)" };
    Ok(format!("{device} refused without a wait"))
}

async fn circle(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F37")?;
    let next = folder.join(".next");
    fs::create_dir(&next)?;
    symlink("b.json", next.join("a.json"))?;
    symlink("a.json", next.join("b.json"))?;
    symlink("..", next.join("up"))?;
    refused(&lab, &folder, &next, "symlink-loop", 3).await
}

/// A folder of bad things appears: all are found with one code, the last good policy set stays.
async fn refused(lab: &Lab, folder: &Path, next: &Path, code: &str, count: usize) -> Outcome {
    let sidecar = Plan::new(lab, folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    fs::rename(next, folder.join("odd"))?;
    let found = before.stays(&sidecar).await?;
    let odd = found.iter().filter(|one| one.code == code).count();
    ensure!(odd >= count, "{odd} times `{code}` in {:?}", found.iter().map(told).collect::<Vec<_>>());
    fs::remove_dir_all(folder.join("odd"))?;
    before.returns(&sidecar).await?;
    Ok(format!("{odd} times {code}; last good stays"))
}

async fn outside(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F38")?;
    let next = folder.join(".next");
    fs::create_dir(&next)?;
    let other = lab.folder("F38-outside")?.join("bob.json");
    fs::write(&other, user("bob", &allow("*")))?;
    symlink(&other, next.join("absolute.json"))?;
    symlink("../../F38-outside/bob.json", next.join("relative.json"))?;
    symlink("/etc", next.join("folder"))?;
    refused(&lab, &folder, &next, "symlink-outside", 3).await
}

async fn hard_link(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F39")?;
    let other = lab.folder("F39-outside")?.join("bob.json");
    fs::write(&other, user("bob", &allow("*")))?;
    std::os::unix::fs::chown(&other, Some(65_534), Some(65_534))?;
    loose(&lab, &folder, || Ok(fs::hard_link(&other, folder.join("bob.json"))?)).await
}

async fn writable(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F40")?;
    let path = folder.join("bob.json");
    loose(&lab, &folder, || {
        let next = folder.join(".next");
        fs::write(&next, user("bob", &allow("*")))?;
        mode(&next, 0o666)?;
        Ok(fs::rename(&next, &path)?)
    })
    .await
}

/// Strict refuses it, lenient warns.
async fn loose(lab: &Lab, folder: &Path, make: impl FnOnce() -> anyhow::Result<()>) -> Outcome {
    let strict = Plan::new(lab, folder).set("load_mode", "strict").serving().await?;
    let lenient = Plan::new(lab, folder).serving().await?;
    let before = Before::of(&strict).await?;
    make()?;
    let found = before.stays(&strict).await?;
    ensure!(found.iter().any(|one| one.code == "loose-permissions"), "another code");
    lenient.until_generation(2).await?;
    ensure!(lenient.said("loose-permissions"), "lenient does not warn");
    Ok("strict refuses it as loose-permissions; lenient warns and loads".to_owned())
}

async fn limited(lab: Lab, id: &str, limit: &str, value: &str) -> Outcome {
    let folder = good_folder(&lab, id)?;
    fs::create_dir(folder.join("inner"))?;
    let script = format!("echo {value} > /proc/sys/user/{limit} && exec \"$@\"");
    let plan =
        Plan::new(&lab, &folder).before(&["unshare", "--user", "--map-root-user", "sh", "-c", &script, "sh"]);
    let sidecar = plan.serving().await?;
    ensure!(sidecar.metric("portcullis_policy_watching", "").await? < 0.5, "portcullis_policy_watching is 1");
    ensure!(!sidecar.status().await?.watching, "the status says that it watches");
    ensure!(sidecar.said("changes are noticed by polling"), "no warning");
    put(&folder, "bob.json", user("bob", &allow("arn:aws:s3:::b/*")))?;
    sidecar.until_generation(2).await?;
    sidecar.serves_alice().await?;
    Ok("SERVING, by polling; portcullis_policy_watching 0".to_owned())
}

async fn no_instances(lab: Lab) -> Outcome {
    limited(lab, "F41", "max_inotify_instances", "0").await
}

async fn no_watches(lab: Lab) -> Outcome {
    limited(lab, "F42", "max_inotify_watches", "1").await
}

async fn overflow(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F43")?;
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 600_000).serving().await?;
    ensure!(sidecar.status().await?.watching, "it does not watch");
    sidecar.signal(Signal::STOP)?;
    for number in 0..10_000 {
        let path = folder.join(format!(".x{number}"));
        fs::write(&path, "")?;
        fs::remove_file(&path)?;
    }
    put(&folder, "bob.json", user("bob", &allow("arn:aws:s3:::b/*")))?;
    sidecar.signal(Signal::CONT)?;
    sidecar.until_generation(2).await?;
    put(&folder, "carl.json", user("carl", &allow("*")))?;
    sidecar.until_generation(3).await?;
    Ok("the change behind the overflow is served, and the next one as well, by events alone".to_owned())
}

async fn unmounted(lab: Lab) -> Outcome {
    let folder = lab.folder("F44")?;
    let place = folder.to_string_lossy().into_owned();
    let mount = || output("mount", &["-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", &place]);
    mount()?;
    put(&folder, "good.json", GOOD)?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    output("umount", &["--lazy", &place])?;
    before.stays(&sidecar).await?;
    mount()?;
    put(&folder, "good.json", GOOD)?;
    before.returns(&sidecar).await?;
    put(&folder, "bob.json", user("bob", &allow("*")))?;
    sidecar.until_generation(2).await?;
    Ok("last good stays; mounted again it goes on, and is followed".to_owned())
}

async fn overlay(lab: Lab) -> Outcome {
    let base = lab.folder("F45")?;
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| base.join(name));
    for folder in [&lower, &upper, &work, &merged] {
        fs::create_dir(folder)?;
    }
    put(&lower, "good.json", GOOD)?;
    put(&lower, "bob.json", user("bob", &allow("arn:aws:s3:::b/1")))?;
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    output("mount", &["-t", "overlay", "overlay", "-o", &options, &merged.to_string_lossy()])?;
    let sidecar = Plan::new(&lab, &merged).serving().await?;
    fs::write(lower.join("bob.json"), user("bob", &allow("arn:aws:s3:::b/2")))?;
    sidecar.until_generation(2).await?;
    ensure!(sidecar.allows(&arn("bob"), "arn:aws:s3:::b/2").await?, "the old one is served");
    Ok("found by the poll".to_owned())
}

/// strace on a running process; it lets go with the value.
pub(crate) struct Tracer(Child);

impl Tracer {
    /// Attaches to all threads, and waits until it has.
    pub(crate) async fn attach(sidecar: &Sidecar, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("strace");
        command.args([
            "--quiet=attach",
            "--follow-forks",
            "-o",
            "/dev/null",
            "-p",
            &sidecar.pid().to_string(),
        ]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let tracer = Self(command.spawn().context("strace")?);
        let status = format!("/proc/{}/status", sidecar.pid());
        let begun = Instant::now();
        while fs::read_to_string(&status)?.contains("TracerPid:\t0\n") {
            ensure!(begun.elapsed() < NEVER, "strace does not attach");
            pause().await;
        }
        // The other threads follow in a moment.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // With SIGTERM it lets its processes go on; killed, it would stop them in the middle.
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

async fn broken_read(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F46")?;
    let path = folder.join("good.json").to_string_lossy().into_owned();
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    let tracer = Tracer::attach(&sidecar, &["-P", &path, "-e", "inject=read:error=EIO"]).await?;
    let found = before.stays(&sidecar).await?;
    drop(tracer);
    ensure!(found.iter().any(|one| one.message.contains("input/output error")), "another finding");
    before.returns(&sidecar).await?;
    Ok("last good stays; the next look that succeeds ends it".to_owned())
}

async fn hanging(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F47")?;
    let path = folder.join("good.json").to_string_lossy().into_owned();
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let client = sidecar.client().await?;
    let tracer = Tracer::attach(&sidecar, &["-P", &path, "-e", "inject=read:delay_enter=32000000"]).await?;
    let (mut slowest, begun, mut asked) = (Duration::ZERO, Instant::now(), 0);
    while sidecar.metric("portcullis_policy_slow_steps_total", "").await? < 0.5 {
        ensure!(begun.elapsed() < Duration::from_secs(60), "portcullis_policy_slow_steps_total stays 0");
        let now = Instant::now();
        ensure!(client.decide(question()).await?.is_allowed(), "alice may no longer read");
        (slowest, asked) = (slowest.max(now.elapsed()), asked + 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(tracer);
    ensure!(slowest < Duration::from_secs(2), "an answer took {} ms", slowest.as_millis());
    put(&folder, "bob.json", user("bob", &allow("*")))?;
    until("the next look", async || Ok(sidecar.status().await?.generation == 2)).await?;
    Ok(format!(
        "{asked} answers meanwhile, the slowest after {} ms; slow step counted; goes on",
        slowest.as_millis()
    ))
}

async fn half_written(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F48")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    let text = user("bob", &allow("arn:aws:s3:::b/*"));
    let source = lab.folder("F48-source")?.join("bob.json");
    fs::write(&source, &text)?;
    let path = folder.join("bob.json");
    let script = "head -c 150 \"$0\" > \"$1\"; kill -9 $$";
    let killed = Command::new("sh").args(["-c", script]).arg(&source).arg(&path).status()?;
    ensure!(!killed.success(), "the writer was not killed");
    before.stays(&sidecar).await?;
    fs::copy(&source, &path)?;
    sidecar.until_generation(2).await?;
    Ok("last good stays until the file is whole".to_owned())
}

async fn names(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F50")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let long = format!("{}.json", "n".repeat(250));
    fs::write(folder.join(&long), user("bob", &allow("*")))?;
    sidecar.until_status("the long name", |status| status.generation >= 2).await?;
    let before = Before::of(&sidecar).await?;
    let next = folder.join(".next");
    fs::create_dir(&next)?;
    let hostile: [&[u8]; 4] = [
        b"a\n{\"level\":\"ERROR\"}.json",
        b"\xff\xfe.json",
        "\u{202e}evil.json".as_bytes(),
        b"\x1b[2Ja.json",
    ];
    for name in hostile {
        fs::write(next.join(std::ffi::OsStr::from_bytes(name)), "{}")?;
    }
    fs::rename(&next, folder.join("odd"))?;
    let found = before.stays(&sidecar).await?;
    let odd: Vec<_> =
        found.iter().filter(|one| one.message.contains("printable")).map(|one| one.file.clone()).collect();
    ensure!(odd.len() == hostile.len(), "refused are {odd:?}");
    let plain = |text: &str| !text.contains(|c: char| c.is_control() || c == '\u{202e}');
    ensure!(odd.iter().all(|name| plain(name)), "a name is shown as it is: {odd:?}");
    for line in sidecar.log.all() {
        ensure!(
            plain(&line) && serde_json::from_str::<serde_json::Value>(&line).is_ok(),
            "a log line is torn: {line}"
        );
    }
    Ok("255 bytes load; the others are refused by an escaped name, every log line is whole".to_owned())
}

async fn crowd(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F51")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    let next = folder.join(".next");
    fs::create_dir(&next)?;
    for number in 0..100_000 {
        fs::File::create(next.join(format!("{number}.json")))?;
    }
    let spent = sidecar.processor_seconds()?;
    fs::rename(&next, folder.join("many"))?;
    let found = before.stays(&sidecar).await?;
    let spent = sidecar.processor_seconds()? - spent;
    ensure!(found.iter().any(|one| one.code == "too-many-files"), "another code");
    ensure!(spent < 10.0, "{spent:.1} s of processor time");
    fs::rename(folder.join("many"), lab.folder("F51-away")?.join("many"))?;
    before.returns(&sidecar).await?;
    Ok(format!("too-many-files; {spent:.2} s of processor time"))
}

/// Lowers the soft limit of a running process on its descriptors; the old limit.
pub(crate) fn limit_descriptors(sidecar: &Sidecar, soft: Option<u64>) -> anyhow::Result<Option<u64>> {
    let pid = Pid::from_raw(i32::try_from(sidecar.pid())?);
    let now = rustix::process::getrlimit(Resource::Nofile);
    let old = prlimit(pid, Resource::Nofile, Rlimit { current: soft, maximum: now.maximum })?;
    Ok(old.current)
}

async fn no_descriptors(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F52")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let client = sidecar.client().await?;
    client.status().await?;
    let old = limit_descriptors(&sidecar, Some(3))?;
    let begun = Instant::now();
    let status = loop {
        let status = client.status().await?;
        if status.last_rejection.is_some() {
            break status;
        }
        ensure!(begun.elapsed() < NEVER, "never rejected");
        pause().await;
    };
    ensure!(status.generation == 1 && status.degraded, "generation {}", status.generation);
    ensure!(client.decide(question()).await?.is_allowed(), "alice may no longer read");
    limit_descriptors(&sidecar, old)?;
    sidecar.until_status("the rejection ends", |status| status.last_rejection.is_none()).await?;
    put(&folder, "bob.json", user("bob", &allow("*")))?;
    sidecar.until_generation(2).await?;
    Ok("last good stays; with descriptors again it goes on".to_owned())
}
