//! F35-F40, F48-F51: what stands in a policy directory.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use portcullis_client::{Client, Request};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::fault::{Fault, Need, Outcome};
use crate::lab::Lab;
use crate::policies::{allow, arn, good_folder, user};
use crate::sidecar::{Plan, until};
use crate::trouble::{Before, told};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F35", "permission denied", "mode 000 on a file, then on the folder; not root", denied)
            .needs(Need::Program("setpriv", "util-linux")),
        Fault::new("F36", "pipe, socket, device", "each under a *.json name", not_files),
        Fault::new("F37", "links in a circle", "two links to each other, a link to the folder above", circle),
        Fault::new("F38", "links out of the directory", "an absolute one, and one with `..`", outside),
        Fault::new("F39", "hard link to a stranger's file", "a link to a file of user 65534", hard_link)
            .needs(Need::Root),
        Fault::new("F40", "file that everybody may write", "chmod 666", writable),
        Fault::new(
            "F48",
            "writer killed in the middle",
            "kill -9 of a shell that has written half",
            half_written,
        ),
        Fault::new(
            "F49",
            "several files changed in place",
            "12 files written over one by one, at once and with pauses, one of them half for a while",
            in_place,
        ),
        Fault::new("F50", "names that could forge a line", "newline, not UTF-8, 255 bytes, bidi", names),
        Fault::new("F51", "100,000 files", "renamed in at once", crowd).slow(),
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
    lenient.says("loose-permissions").await?;
    Ok("strict refuses it as loose-permissions; lenient warns and loads".to_owned())
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

/// There is no manifest, so nobody waits for a set to be whole; docs/faults.md says what holds instead, and this looks.
async fn in_place(lab: Lab) -> Outcome {
    const FILES: usize = 12;
    let folder = lab.folder("F49")?;
    let text =
        |file: usize, version: u32| user(&format!("f{file}"), &allow(&format!("arn:aws:s3:::b/{version}")));
    let write = |file: usize, text: &str| fs::write(folder.join(format!("f{file}.json")), text);
    for file in 0..FILES {
        write(file, &text(file, 1))?;
    }
    // Events alone.
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 600_000).serving().await?;
    let client = sidecar.client().await?;
    for file in 0..FILES {
        write(file, &text(file, 2))?;
    }
    until("version 2 of all", async || Ok(versions(&client, FILES).await? == [2; FILES])).await?;
    let quick = sidecar.status().await?.generation - 1;
    // Now slowly: what is served is at every time a whole version of each file, not always of the same.
    let mut mixed = 0;
    for file in 0..FILES {
        write(file, &text(file, 3))?;
        let expected: Vec<_> = (0..FILES).map(|other| if other <= file { 3 } else { 2 }).collect();
        until("the file that was written", async || Ok(versions(&client, FILES).await? == expected)).await?;
        mixed += u32::from(file + 1 < FILES);
    }
    // Half of a file is no version of it: everything stays, other files included.
    let whole = text(0, 4);
    write(1, &text(1, 4))?;
    write(0, whole.get(..whole.len() / 2).unwrap_or_default())?;
    sidecar.until_status("a rejection", |status| status.last_rejection.is_some()).await?;
    let stays = versions(&client, FILES).await?;
    // The first write alone may have been seen before the second.
    ensure!(
        stays.iter().enumerate().all(|(file, version)| *version == 3 || file == 1),
        "served is {stays:?}"
    );
    write(0, &whole)?;
    sidecar.until_status("no rejection", |status| status.last_rejection.is_none()).await?;
    let end = versions(&client, FILES).await?;
    ensure!(end.starts_with(&[4, 4, 3]), "at the end {end:?}");
    Ok(format!(
        "no manifest: {FILES} writes without a pause made {quick} generation(s); with pauses {mixed} of {FILES} sets were \
         old and new files side by side, each whole; half a file was never served"
    ))
}

/// The version of each file that is served, asked in one batch.
async fn versions(client: &Client, files: usize) -> anyhow::Result<Vec<u32>> {
    const VERSIONS: [u32; 4] = [1, 2, 3, 4];
    let question = |file: usize, version: u32| {
        Request::new(arn(&format!("f{file}")), "s3:GetObject", format!("arn:aws:s3:::b/{version}"))
    };
    let questions = (0..files).flat_map(|file| VERSIONS.map(|version| question(file, version))).collect();
    let answers = client.authorize_all(questions).await;
    let mut found = Vec::new();
    for of_file in answers.chunks(VERSIONS.len()) {
        let allowed = VERSIONS
            .iter()
            .zip(of_file)
            .filter(|(_, answer)| answer.as_ref().is_ok_and(portcullis_client::Decision::is_allowed));
        let allowed: Vec<_> = allowed.map(|(version, _)| *version).collect();
        let [one] = allowed.as_slice() else { anyhow::bail!("of one file {allowed:?} are served") };
        found.push(*one);
    }
    Ok(found)
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
