//! F41-F47, F52: what the system refuses, or does not tell.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::process::Signal;

use crate::fault::{Fault, Need, Outcome};
use crate::lab::{Lab, output};
use crate::policies::{GOOD, allow, arn, good_folder, put, user};
use crate::sidecar::{NEVER, Plan, pause, question, until};
use crate::tracer::{Tracer, limit_descriptors};
use crate::trouble::Before;

pub(crate) fn faults() -> Vec<Fault> {
    let strace = Need::Program("strace", "strace");
    vec![
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
            "F52",
            "no descriptor left for a scan",
            "RLIMIT_NOFILE of the process lowered to 3",
            no_descriptors,
        ),
    ]
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
    sidecar.says("changes are noticed by polling").await?;
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
    sidecar.stop().await?;
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
