//! F21-F28, F32-F34: how a policy directory comes, goes and changes.

use std::fs::{self, FileTimes};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;

use crate::fault::{Fault, Outcome};
use crate::lab::Lab;
use crate::policies::{GOOD, allow, arn, good_folder, put, user};
use crate::sidecar::{Plan, Sidecar, until};
use crate::trouble::Before;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F21", "one bad file among 1,000", "one of 1,001 files broken, then mended", one_of_many)
            .slow(),
        Fault::new(
            "F22",
            "one bad file at a cold start",
            "the same before the start, with and without state",
            cold,
        ),
        Fault::new("F23", "empty directory at a cold start", "a folder with nothing in it", empty_cold),
        Fault::new("F24", "empty directory on reload", "every file deleted", empty_later),
        Fault::new("F25", "directory missing at the start", "made after the start", missing),
        Fault::new("F26", "directory deleted and made again", "rm -r, mkdir, other files", remade),
        Fault::new(
            "F27",
            "directory replaced by rename",
            "two renames; then a write to the old one",
            renamed,
        ),
        Fault::new(
            "F28",
            "root link swapped",
            "a link renamed over the link, as git-sync does",
            link_swapped,
        ),
        Fault::new("F32", "replaced by an older copy", "rename of a file dated 2001", older),
        Fault::new("F33", "written twice in one second", "same size, same mtime, other content", same_second),
        Fault::new("F34", "touched without a change", "a new mtime on every file", touched),
    ]
}

/// Later than this a change was not noticed by its event, on a machine that is busy.
const LATE: Duration = Duration::from_secs(5);

async fn one_of_many(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F21")?;
    for number in 0..1_000 {
        put(&folder, &format!("u{number}.json"), user(&format!("u{number}"), &allow("arn:aws:s3:::b/*")))?;
    }
    // Events alone: the poll comes too late.
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 600_000).serving().await?;
    let before = Before::of(&sidecar).await?;
    put(&folder, "u500.json", "{\"UserDetailList\": [")?;
    let found = before.stays(&sidecar).await?;
    ensure!(found.len() == 1 && found.iter().all(|one| one.file == "u500.json"), "other findings too");
    let begun = Instant::now();
    put(&folder, "u500.json", user("u500", &allow("arn:aws:s3:::c/*")))?;
    sidecar.until_generation(2).await?;
    let took = begun.elapsed();
    ensure!(took < LATE, "the mended file was served after {} ms", took.as_millis());
    ensure!(sidecar.allows(&arn("u500"), "arn:aws:s3:::c/1").await?, "the mended file is not served");
    Ok(format!("last good stays; the mended file is served after {} ms by its event", took.as_millis()))
}

async fn cold(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F22")?;
    let state = lab.folder("F22-state")?.join("state");
    let with_state = Plan::new(&lab, &folder).set("state_directory", state.display());
    let mut earlier = with_state.serving().await?;
    until("the record", async || Ok(state.join("last-good").exists())).await?;
    earlier.kill()?;
    put(&folder, "bad.json", "{")?;
    let without = Plan::new(&lab, &folder).start().await?;
    not_serving(&without).await?;
    let with = with_state.serving().await?;
    let status = with.status().await?;
    ensure!(status.degraded && status.last_good_saved_at.is_some(), "it does not say what it serves");
    with.serves_alice().await?;
    fs::remove_file(folder.join("bad.json"))?;
    without.until_ready().await?;
    without.serves_alice().await?;
    Ok("NOT_SERVING and UNAVAILABLE; with a kept policy set that is served, stale; both mend themselves"
        .to_owned())
}

/// Up, alive, not ready, and no answer to anything.
async fn not_serving(sidecar: &Sidecar) -> anyhow::Result<()> {
    sidecar.until_status("a rejection", |status| status.last_rejection.is_some()).await?;
    let refusal = sidecar.refusal().await?;
    ensure!(refusal == "Unavailable NO_POLICY_SET", "{refusal}");
    ensure!(!sidecar.ready().await?, "/readyz says it is ready");
    ensure!(sidecar.page("/livez").await?.0 == 200, "/livez says it is dead");
    let health = sidecar.client().await?.health().await?;
    ensure!(health == portcullis_client::Health::NotServing, "health says {health:?}");
    Ok(())
}

async fn empty_cold(lab: Lab) -> Outcome {
    let folder = lab.folder("F23")?;
    let sidecar = Plan::new(&lab, &folder).start().await?;
    not_serving(&sidecar).await?;
    put(&folder, "good.json", GOOD)?;
    sidecar.until_ready().await?;
    sidecar.serves_alice().await?;
    Ok("NOT_SERVING until the first file".to_owned())
}

async fn empty_later(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F24")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    fs::remove_file(folder.join("good.json"))?;
    let found = before.stays(&sidecar).await?;
    ensure!(found.iter().any(|one| one.code == "empty-directory"), "another code");
    put(&folder, "good.json", GOOD)?;
    before.returns(&sidecar).await?;
    Ok("empty-directory; last good stays".to_owned())
}

async fn missing(lab: Lab) -> Outcome {
    let folder = lab.folder("F25")?.join("policies");
    let sidecar = Plan::new(&lab, &folder).start().await?;
    not_serving(&sidecar).await?;
    fs::create_dir(&folder)?;
    put(&folder, "good.json", GOOD)?;
    sidecar.until_ready().await?;
    sidecar.serves_alice().await?;
    put(&folder, "bob.json", user("bob", &allow("*")))?;
    sidecar.until_generation(2).await?;
    Ok("NOT_SERVING, then SERVING without a restart, and followed".to_owned())
}

async fn remade(lab: Lab) -> Outcome {
    let folder = lab.folder("F26")?.join("policies");
    fs::create_dir(&folder)?;
    put(&folder, "good.json", GOOD)?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    for round in 2..5_u64 {
        fs::remove_dir_all(&folder)?;
        fs::create_dir(&folder)?;
        put(&folder, "good.json", GOOD)?;
        put(&folder, "bob.json", user("bob", &allow(&format!("arn:aws:s3:::b/{round}"))))?;
        sidecar.until_generation(round).await?;
        ensure!(
            sidecar.allows(&arn("bob"), &format!("arn:aws:s3:::b/{round}")).await?,
            "the old one is served"
        );
        sidecar.serves_alice().await?;
    }
    Ok("the new content is served, three times in a row".to_owned())
}

async fn renamed(lab: Lab) -> Outcome {
    let base = lab.folder("F27")?;
    let (folder, old) = (base.join("policies"), base.join("old"));
    fs::create_dir(&folder)?;
    put(&folder, "good.json", GOOD)?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let next = base.join("next");
    fs::create_dir(&next)?;
    put(&next, "good.json", GOOD)?;
    put(&next, "bob.json", user("bob", &allow("arn:aws:s3:::b/*")))?;
    fs::rename(&folder, &old)?;
    fs::rename(&next, &folder)?;
    sidecar.until_generation(2).await?;
    // What happens to the old directory is nobody's concern any more.
    put(&old, "eve.json", user("eve", &allow("*")))?;
    sidecar.until_scanned().await?;
    let status = sidecar.status().await?;
    ensure!(status.generation == 2 && !status.degraded, "the old directory is still followed");
    put(&folder, "carl.json", user("carl", &allow("*")))?;
    sidecar.until_generation(3).await?;
    ensure!(
        !sidecar.allows(&arn("eve"), "arn:aws:s3:::b/1").await?,
        "a policy of the old directory is served"
    );
    Ok("the new directory is served and followed, the old one is not".to_owned())
}

async fn link_swapped(lab: Lab) -> Outcome {
    let base = lab.folder("F28")?;
    let link = base.join("current");
    for version in ["v1", "v2", "v3"] {
        let folder = base.join(version);
        fs::create_dir(&folder)?;
        put(&folder, "good.json", GOOD)?;
        put(&folder, "bob.json", user("bob", &allow(&format!("arn:aws:s3:::b/{version}"))))?;
    }
    symlink("v1", &link)?;
    let sidecar = Plan::new(&lab, &link).serving().await?;
    for (version, generation) in [("v2", 2), ("v3", 3), ("v1", 4)] {
        swap(version, &link)?;
        sidecar.until_generation(generation).await?;
        ensure!(
            sidecar.allows(&arn("bob"), &format!("arn:aws:s3:::b/{version}")).await?,
            "{version} is not served"
        );
    }
    Ok("each version is served in turn".to_owned())
}

/// Renames a new link over the old one.
pub(crate) fn swap(target: impl AsRef<Path>, link: &Path) -> anyhow::Result<()> {
    let next = link.with_file_name("..swap");
    symlink(target, &next)?;
    fs::rename(next, link)?;
    Ok(())
}

async fn older(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F32")?;
    put(&folder, "bob.json", user("bob", &allow("arn:aws:s3:::b/1")))?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let next = folder.join(".next");
    fs::write(&next, user("bob", &allow("arn:aws:s3:::b/2")))?;
    date(&next, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))?;
    fs::rename(&next, folder.join("bob.json"))?;
    sidecar.until_generation(2).await?;
    ensure!(sidecar.allows(&arn("bob"), "arn:aws:s3:::b/2").await?, "the copy is not served");
    Ok("found by its content".to_owned())
}

fn date(path: &Path, modified: SystemTime) -> anyhow::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    Ok(file.set_times(FileTimes::new().set_modified(modified))?)
}

async fn same_second(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F33")?;
    let path = folder.join("bob.json");
    let modified = SystemTime::now();
    let write = |version: u32| -> anyhow::Result<()> {
        fs::write(&path, user("bob", &allow(&format!("arn:aws:s3:::b/{version}"))))?;
        date(&path, modified)
    };
    write(1)?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    for version in 2..8 {
        write(version)?;
        until("the last write", async || {
            sidecar.allows(&arn("bob"), &format!("arn:aws:s3:::b/{version}")).await
        })
        .await?;
    }
    Ok("the last write is served, six times with one mtime and one size".to_owned())
}

async fn touched(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F34")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    for _ in 0..3 {
        date(&folder.join("good.json"), SystemTime::now())?;
        sidecar.until_scanned().await?;
    }
    let status = sidecar.status().await?;
    ensure!(status.generation == 1 && !status.degraded, "generation {}", status.generation);
    Ok("generation 1 all along".to_owned())
}
