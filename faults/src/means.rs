//! F73-F74: what the process has of the machine.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_client::{Client, Error};
use tokio::io::AsyncWriteExt as _;

use crate::fault::{Fault, Need, Outcome};
use crate::frames::{
    AUTHORIZE, Attacker, Caller, DATA, END_HEADERS, HEADERS, SIMULATE, STREAM, WINDOW_UPDATE, call_fields,
    frame, next, send_open,
};
use crate::lab::{Lab, cgroup_parent};
use crate::policies::{allow, good_folder, put, user};
use crate::sidecar::{Plan, Sidecar, question};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "F73",
            "128 MiB of memory",
            "a control group; every connection holds what it may",
            little_memory,
        )
        .needs(Need::Cgroup("memory"))
        .alone(),
        Fault::new("F74", "a tenth of a processor", "a control group, 64 callers", little_processor)
            .needs(Need::Cgroup("cpu"))
            .alone(),
    ]
}

/// A control group that goes with the value.
struct Group(PathBuf);

impl Group {
    /// With one limit, by the name of version 1 and that of version 2.
    fn new(controller: &str, old: &[(&str, &str)], new: &[(&str, &str)]) -> anyhow::Result<Self> {
        let parent = cgroup_parent(controller).context("no control group")?;
        let is_new = parent.join("cgroup.subtree_control").exists();
        let path = parent.join(format!("portcullis-faults-{}-{controller}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self(path);
        for (name, value) in if is_new { new } else { old } {
            fs::write(group.0.join(name), value).with_context(|| (*name).to_owned())?;
        }
        Ok(group)
    }

    fn take(&self, sidecar: &Sidecar) -> anyhow::Result<()> {
        Ok(fs::write(self.0.join("cgroup.procs"), sidecar.pid().to_string())?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The process in it was killed just now and may take a moment to leave.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Two machines: what the chart gives a sidecar with its defaults, and 128 MiB with limits to fit.
async fn little_memory(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F73")?;
    for number in 0..200 {
        put(&folder, &format!("u{number}.json"), user(&format!("u{number}"), &allow("arn:aws:s3:::b/*")))?;
    }
    let audit = lab.folder("F73-audit")?.join("audit.jsonl");
    let plan = Plan::new(&lab, &folder).set("audit_file", audit.display()).set("request_timeout_ms", 60_000);
    let small = plan.clone().set("connections_max", 256).set("connection_window_bytes", 65_535);
    let small = small.set("requests_in_flight_max", 128);
    let mut told = Vec::new();
    for (name, mebibytes, plan, connections) in
        [("128 MiB, limits to fit", 128, small, 250), ("512 MiB, defaults", 512, plan, 1_000)]
    {
        for attack in [Hold::Windows, Hold::Messages] {
            let limit = (u64::from(mebibytes as u32) << 20).to_string();
            let group =
                Group::new("memory", &[("memory.limit_in_bytes", &limit)], &[("memory.max", &limit)])?;
            let mut sidecar = plan.start().await?;
            group.take(&sidecar)?;
            sidecar.until_ready().await?;
            let full = fill(&mut sidecar, attack, connections)
                .await
                .with_context(|| format!("{name}, {attack:?}"))?;
            sidecar.serves_alice().await?;
            told.push(format!("{name}, {attack:?}: at most {} MiB", full >> 20));
            drop(sidecar);
        }
    }
    Ok(told.join("; "))
}

/// What hostile peers have the service keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// On each of many connections as much as its window takes.
    Windows,
    /// On some connections as many messages as are let in, each all but its end.
    Messages,
}

/// Has it keep as much as it lets in, until it keeps no more; the most it had.
async fn fill(sidecar: &mut Sidecar, attack: Hold, connections: usize) -> anyhow::Result<u64> {
    let (mut attackers, mut streams) = (Vec::new(), Vec::new());
    let started = match attack {
        Hold::Windows => {
            async {
                for _ in 0..connections {
                    attackers.push(fill_window(sidecar).await?);
                }
                anyhow::Ok(())
            }
            .await
        }
        Hold::Messages => {
            // Each kind of call reads its messages in another way.
            for path in [AUTHORIZE, STREAM, SIMULATE].into_iter().cycle().take(21) {
                let caller = Caller::connect(&sidecar.address).await?;
                streams.push(tokio::spawn(hold_messages(caller, path)));
            }
            Ok(())
        }
    };
    let (mut full, mut calm) = (0, 0);
    while calm < 4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let gone = sidecar.ended(Duration::ZERO).await.is_ok();
        ensure!(!gone, "killed for its memory; it had {} MiB before", full >> 20);
        let now = sidecar.resident()?;
        calm = if now > full + (1 << 20) { 0 } else { calm + 1 };
        full = full.max(now);
    }
    started?;
    streams.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(full)
}

/// A connection on which four bodies of 64 kB each wait for their end.
async fn fill_window(sidecar: &Sidecar) -> anyhow::Result<Attacker> {
    let mut attacker = Attacker::connect(&sidecar.address).await?;
    let (block, part) = (call_fields(&[]), vec![0; 16_000]);
    // The window of the connection may grow from what HTTP/2 begins with.
    let grown = async {
        while next(&mut attacker.read).await.context("closed")?.kind != WINDOW_UPDATE {}
        anyhow::Ok(())
    };
    let grown = tokio::time::timeout(Duration::from_millis(30), grown).await.is_ok();
    for stream in [1, 3, 5, 7].into_iter().take(if grown { 4 } else { 1 }) {
        let mut first = part.clone();
        if let Some(prefix) = first.get_mut(..5) {
            prefix.copy_from_slice(&[0, 0, 3, 255, 255]);
        }
        let mut bytes =
            [frame(HEADERS, END_HEADERS, stream, &block), frame(DATA, 0, stream, &first)].concat();
        for _ in 0..3 {
            bytes.extend(frame(DATA, 0, stream, &part));
        }
        attacker.write.write_all(&bytes).await?;
    }
    Ok(attacker)
}

/// Messages of 256 KiB on as many streams as there may be, all but their last bytes.
async fn hold_messages(caller: Caller, path: &str) -> anyhow::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..250 {
        let (stream, response) = caller.begin(path, &[]).await?;
        let mut message = vec![0; 262_000];
        if let Some(prefix) = message.get_mut(..5) {
            prefix.copy_from_slice(&[0, 0, 3, 255, 255]);
        }
        tasks.spawn(send_open(stream, message.into(), response));
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn little_processor(lab: Lab) -> Outcome {
    const DEADLINE: Duration = Duration::from_millis(1_500);
    let old = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "10000")];
    let group = Group::new("cpu", &old, &[("cpu.max", "10000 100000")])?;
    let folder = good_folder(&lab, "F74")?;
    let sidecar =
        Plan::new(&lab, &folder).set("requests_in_flight_max", 2).set("log", "debug").serving().await?;
    group.take(&sidecar)?;
    let client = Client::builder(&sidecar.address).timeout(DEADLINE).connect().await?;
    let begun = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let client = client.clone();
        callers.spawn(async move {
            let (mut answered, mut refused, mut longest) = (0_u32, 0_u32, Duration::ZERO);
            while begun.elapsed() < Duration::from_secs(5) {
                let asked = Instant::now();
                match client.decide(question()).await {
                    Ok(decision) if decision.is_allowed() => answered += 1,
                    Ok(_) => return Err("alice is denied".to_owned()),
                    Err(Error::Timeout(_) | Error::Refused { .. }) => refused += 1,
                    Err(error) => return Err(error.to_string()),
                }
                longest = longest.max(asked.elapsed());
            }
            Ok((answered, refused, longest))
        });
    }
    let (mut answered, mut refused, mut longest) = (0, 0, Duration::ZERO);
    while let Some(caller) = callers.join_next().await {
        let why = || {
            let ended = |line: &String| line.contains("a connection ended with an error");
            sidecar.log.all().into_iter().rfind(ended).unwrap_or_default()
        };
        let (a, r, l) = caller?.map_err(anyhow::Error::msg).with_context(why)?;
        (answered, refused, longest) = (answered + a, refused + r, longest.max(l));
    }
    ensure!(answered > 0, "nothing was answered");
    ensure!(longest < DEADLINE + Duration::from_secs(1), "a call lasted {} ms", longest.as_millis());
    Ok(format!(
        "{answered} answered, {refused} late or shed; the longest call {} ms of {} allowed",
        longest.as_millis(),
        DEADLINE.as_millis()
    ))
}
