//! F29-F31: a policy directory that a kubelet writes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use portcullis_client::{Client, Request};

use crate::fault::{Fault, Need, Outcome};
use crate::files::swap;
use crate::lab::{Lab, output};
use crate::policies::{allow, arn, good_folder, put, user};
use crate::sidecar::{NEVER, Plan, until};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "F29",
            "ConfigMap swapped 1,000 times",
            "`..data` renamed under load, the old one removed",
            storm,
        )
        .slow(),
        Fault::new(
            "F30",
            "ConfigMap swap that removes a file",
            "one file fewer behind `..data`, back and forth",
            removal,
        ),
        Fault::new(
            "F31",
            "a file mounted by itself",
            "mount --bind of one file, then a change of it",
            sub_path,
        )
        .needs(Need::Mounts),
    ]
}

/// Files of one version, written as a kubelet writes a ConfigMap.
pub(crate) struct ConfigMap {
    folder: PathBuf,
    current: Option<PathBuf>,
}

impl ConfigMap {
    /// Nothing is written yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), current: None }
    }

    pub(crate) fn publish(&mut self, version: u32, files: &[(String, String)]) -> anyhow::Result<()> {
        let name = format!("..v{version}");
        let inner = self.folder.join(&name);
        fs::create_dir(&inner)?;
        for (file, text) in files {
            fs::write(inner.join(file), text)?;
        }
        swap(&name, &self.folder.join("..data"))?;
        for (file, _) in files {
            let visible = self.folder.join(file);
            if fs::symlink_metadata(&visible).is_err() {
                symlink(Path::new("..data").join(file), &visible)?;
            }
        }
        if let Some(old) = self.current.replace(inner) {
            fs::remove_dir_all(old)?;
        }
        Ok(())
    }
}

const FILES: usize = 8;
const VERSIONS: u32 = 4;

fn version(number: u32) -> Vec<(String, String)> {
    let statement = allow(&format!("arn:aws:s3:::b/{}", number % VERSIONS));
    (0..FILES).map(|file| (format!("f{file}.json"), user(&format!("f{file}"), &statement))).collect()
}

async fn storm(lab: Lab) -> Outcome {
    const SWAPS: u32 = 1_000;
    let folder = lab.folder("F29")?;
    let mut map = ConfigMap::new(&folder);
    map.publish(0, &version(0))?;
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 20).serving().await?;
    let client = sidecar.client().await?;
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || -> anyhow::Result<()> {
            let written = (1..=SWAPS).try_for_each(|number| {
                std::thread::sleep(Duration::from_millis(5));
                map.publish(number, &version(number))
            });
            done.store(true, Ordering::Release);
            written
        })
    };
    let (mut asked, mut seen) = (0_u32, std::collections::BTreeSet::new());
    while !done.load(Ordering::Acquire) {
        seen.insert(whole_version(&client).await?);
        asked += 1;
    }
    writer.join().map_err(|_| anyhow::anyhow!("the writer broke"))??;
    until("the last version", async || Ok(whole_version(&client).await? == SWAPS % VERSIONS)).await?;
    let status =
        sidecar.until_status("no rejection at the end", |status| status.last_rejection.is_none()).await?;
    let rejected = sidecar.metric("portcullis_policy_reloads_total", "rejected").await?;
    Ok(format!(
        "{asked} batches, each from one version ({} seen); {} generations, {rejected} unstable looks refused; the last version is served",
        seen.len(),
        status.generation
    ))
}

/// The one version that all users of one batch are of.
async fn whole_version(client: &Client) -> anyhow::Result<u32> {
    let question = |file: usize, version: u32| {
        Request::new(arn(&format!("f{file}")), "s3:GetObject", format!("arn:aws:s3:::b/{version}"))
    };
    let questions =
        (0..VERSIONS).flat_map(|version| (0..FILES).map(move |file| question(file, version))).collect();
    let answers = client.authorize_all(questions).await;
    let mut found = Vec::new();
    for (version, of_version) in (0..VERSIONS).zip(answers.chunks(FILES)) {
        let allowed = of_version
            .iter()
            .filter(|answer| answer.as_ref().is_ok_and(|answer| answer.is_allowed()))
            .count();
        ensure!(
            allowed == 0 || allowed == FILES,
            "{allowed} of {FILES} files are of version {version}: a mix"
        );
        found.extend((allowed > 0).then_some(version));
    }
    match found.as_slice() {
        [one] => Ok(*one),
        _ => anyhow::bail!("versions {found:?} are served at once"),
    }
}

async fn removal(lab: Lab) -> Outcome {
    let folder = lab.folder("F30")?;
    let mut map = ConfigMap::new(&folder);
    let both = vec![
        ("a.json".to_owned(), user("a", &allow("arn:aws:s3:::b/old"))),
        ("b.json".to_owned(), user("b", &allow("arn:aws:s3:::b/old"))),
    ];
    let one = vec![("a.json".to_owned(), user("a", &allow("arn:aws:s3:::b/new")))];
    map.publish(0, &both)?;
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 20).serving().await?;
    let client = sidecar.client().await?;
    let mut looks = 0;
    for round in 1..=10_u32 {
        let removed = round % 2 == 1;
        map.publish(round, if removed { &one } else { &both })?;
        if removed {
            // A kubelet removes the visible name after the swap.
            fs::remove_file(folder.join("b.json"))?;
        }
        let begun = Instant::now();
        loop {
            let ask = |name: &str, place: &str| {
                Request::new(arn(name), "s3:GetObject", format!("arn:aws:s3:::b/{place}"))
            };
            let answers = client.authorize_all(vec![ask("a", "new"), ask("a", "old"), ask("b", "old")]).await;
            let answers: Vec<_> = answers
                .iter()
                .map(|answer| answer.as_ref().is_ok_and(|answer| answer.is_allowed()))
                .collect();
            looks += 1;
            match answers.as_slice() {
                [true, false, false] if removed => break,
                [false, true, true] if !removed => break,
                [true, false, false] | [false, true, true] => {}
                other => anyhow::bail!("half of a swap is served: {other:?}"),
            }
            ensure!(begun.elapsed() < NEVER, "the swap is never served");
        }
    }
    Ok(format!("10 swaps, {looks} looks, never half of one"))
}

async fn sub_path(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F31")?;
    let source = lab.folder("F31-source")?.join("bob.json");
    fs::write(&source, user("bob", &allow("arn:aws:s3:::b/1")))?;
    let place = folder.join("bob.json");
    fs::write(&place, "{}")?;
    output("mount", &["--bind", &source.to_string_lossy(), &place.to_string_lossy()])?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    sidecar.says("mounted by itself").await?;
    fs::write(&source, user("bob", &allow("arn:aws:s3:::b/2")))?;
    until("the change in place", async || sidecar.allows(&arn("bob"), "arn:aws:s3:::b/2").await).await?;
    // What is renamed over the source is not seen through the mount: that is what the warning says.
    put(source.parent().unwrap_or(&source), "bob.json", user("bob", &allow("arn:aws:s3:::b/3")))?;
    sidecar.until_scanned().await?;
    ensure!(sidecar.allows(&arn("bob"), "arn:aws:s3:::b/2").await?, "neither the old nor the new one");
    Ok("warned of at the start; a change in place is served, a rename over the source is not visible"
        .to_owned())
}
