//! F71-F80: the process itself, its end, its means, its clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use portcullis_client::{Authorizer as _, Client, Error};
use portcullis_proto::v1::AuthorizeResponse;
use prost::Message as _;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::calls::wire_question;
use crate::content::{good_folder, put};
use crate::fault::{Fault, Need, Outcome};
use crate::frames::{
    AUTHORIZE, Answer, Attacker, Caller, DATA, END_HEADERS, HEADERS, SIMULATE, STREAM, WINDOW_UPDATE, answer,
    call_fields, frame, framed, next, send_open,
};
use crate::lab::{Lab, cgroup_parent, fake_time};
use crate::places::Tracer;
use crate::policies::{GOOD, allow, allow_if, arn, user};
use crate::sidecar::{NEVER, Plan, Sidecar, question, until};
use crate::trail::{recorded, verified};

pub(crate) fn faults() -> Vec<Fault> {
    let strace = Need::Program("strace", "strace");
    vec![
        Fault::elsewhere(
            "F71",
            "a handler panics",
            "the program has no failpoint, and nothing from outside was found that makes a handler panic (F63, F86); that a \
             panic becomes INTERNAL and is counted: server/src/grpc/guard.rs, server/src/connection/hot.rs",
        ),
        Fault::new(
            "F72",
            "the task that follows the directory panics",
            "strace makes every new thread fail",
            no_threads,
        )
        .needs(strace)
        .slow(),
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
        Fault::new("F75", "SIGTERM under load", "16 callers without a pause", terminated_under_load),
        Fault::new("F76", "SIGTERM beside a peer that holds on", "an open stream and nobody reading", held),
        Fault::new("F77", "storm of SIGHUP", "3,000 as fast as they can be sent", hang_ups),
        Fault::new(
            "F78",
            "kill -9 while the last good is kept",
            "kills among writes; then records torn and changed",
            torn_state,
        ),
        Fault::new("F79", "the clock jumps", "+1 h, -1 h, 1970, 2100, by libfaketime, while it runs", clock)
            .needs(Need::FakeTime),
        Fault::new("F80", "no random numbers", "strace makes getrandom fail from the start", no_random)
            .needs(strace),
    ]
}

async fn no_threads(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F72")?;
    // Threads for blocking work end after ten idle seconds; a poll would keep one alive.
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 600_000).serving().await?;
    let client = sidecar.client().await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let tracer = Tracer::attach(&sidecar, &["-e", "inject=clone,clone3:error=EAGAIN"]).await?;
    put(&folder, "bob.json", user("bob", &allow("*")))?;
    let restarts = async || sidecar.metric("portcullis_policy_task_restarts_total", "").await;
    until("the task is started again", async || Ok(restarts().await? > 0.5)).await?;
    ensure!(client.decide(question()).await?.is_allowed(), "alice may no longer read");
    ensure!(client.status().await?.degraded, "the status is not degraded");
    drop(tracer);
    sidecar.until_generation(2).await?;
    let status = sidecar.until_status("it is well again", |status| !status.degraded).await?;
    ensure!(status.watching, "it does not watch any more");
    ensure!(sidecar.said("the reload task ended and is started again"), "no line of the log");
    Ok(format!("started again, {} times counted; requests answered; the change is loaded", restarts().await?))
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

/// What became of a caller's calls until the connection ended.
#[derive(Default)]
struct Told {
    ids: Vec<String>,
    lost: Vec<String>,
}

async fn call_until_the_end(caller: Caller) -> Told {
    let mut told = Told::default();
    let body = framed(&wire_question());
    loop {
        // What cannot be begun was not asked.
        let Ok((mut stream, response)) = caller.begin(AUTHORIZE, &[]).await else { return told };
        let sent = stream.send_data(body.clone(), true);
        match answer(response).await {
            Ok(answer) => match id(&answer) {
                Ok(id) => told.ids.push(id),
                Err(error) => told.lost.push(format!("{error:#}")),
            },
            // Not taken up, and the peer says so.
            Err(error) if error.downcast_ref::<h2::Error>().is_some_and(refused) => return told,
            // A call whose body did not leave was not asked.
            Err(_) if sent.is_err() => return told,
            Err(error) => {
                told.lost.push(format!("{error:#}"));
                return told;
            }
        }
    }
}

fn refused(error: &h2::Error) -> bool {
    (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
        || error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

fn id(answer: &Answer) -> anyhow::Result<String> {
    let code = answer.code()?;
    ensure!(code == 0, "code {code}");
    let message = AuthorizeResponse::decode(answer.body.get(5..).context("no message")?)?;
    ensure!(message.decision == 1, "alice is denied");
    Ok(message.request_id)
}

async fn terminated_under_load(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F75")?;
    let audit = lab.folder("F75-audit")?.join("audit.jsonl");
    let mut ids = 0;
    for _ in 0..3 {
        let mut sidecar = Plan::new(&lab, &folder).set("audit_file", audit.display()).serving().await?;
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            callers.spawn(call_until_the_end(Caller::connect(&sidecar.address).await?));
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        sidecar.signal(Signal::TERM)?;
        let mut all = Told::default();
        while let Some(told) = callers.join_next().await {
            let Told { ids, lost } = told?;
            all.ids.extend(ids);
            all.lost.extend(lost);
        }
        let status = sidecar.ended(NEVER).await?;
        ensure!(status.success(), "it ended with {status}");
        let first = all.lost.first().cloned().unwrap_or_default();
        ensure!(all.lost.is_empty(), "{} calls lost: {first}", all.lost.len());
        let written = recorded(&audit)?;
        let missing = all.ids.iter().filter(|id| !written.contains(*id)).count();
        ensure!(missing == 0, "{missing} of {} answers have no record", all.ids.len());
        ids += all.ids.len();
    }
    verified(&lab, &audit)?.sound()?;
    Ok(format!("3 times, {ids} answers, 0 lost, each with its record, exit 0"))
}

async fn held(lab: Lab) -> Outcome {
    const DRAIN: Duration = Duration::from_millis(1_000);
    let folder = good_folder(&lab, "F76")?;
    let mut sidecar = Plan::new(&lab, &folder).set("drain_ms", DRAIN.as_millis()).serving().await?;
    let mut attackers = Vec::new();
    for _ in 0..20 {
        let mut attacker = Attacker::connect(&sidecar.address).await?;
        attacker.write.write_all(&frame(HEADERS, END_HEADERS, 1, &call_fields(&[]))).await?;
        attacker.write.write_all(&frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())).await?;
        attackers.push(attacker);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    sidecar.signal(Signal::TERM)?;
    let status = sidecar.ended(DRAIN + Duration::from_secs(4)).await?;
    Ok(format!("ended after {} ms with {status} (drain_ms 1000)", begun.elapsed().as_millis()))
}

async fn hang_ups(lab: Lab) -> Outcome {
    const COUNT: u32 = 3_000;
    let folder = good_folder(&lab, "F77")?;
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 600_000).serving().await?;
    let client = sidecar.client().await?;
    let before = sidecar.metric("portcullis_policy_scans_total", "").await?;
    for number in 0..COUNT {
        sidecar.signal(Signal::HUP)?;
        if number % 100 == 0 {
            ensure!(client.decide(question()).await?.is_allowed(), "alice may no longer read");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    put(&folder, "bob.json", user("bob", &allow("*")))?;
    sidecar.signal(Signal::HUP)?;
    sidecar.until_generation(2).await?;
    let scans = sidecar.metric("portcullis_policy_scans_total", "").await? - before;
    ensure!(scans < f64::from(COUNT) / 10.0, "{scans} looks at the directory");
    Ok(format!("{scans} looks for {COUNT} signals; served meanwhile; the change after them is loaded"))
}

async fn torn_state(lab: Lab) -> Outcome {
    let folder = lab.folder("F78")?;
    let state = lab.folder("F78-state")?.join("state");
    let version = |number: u32| user("bob", &allow(&format!("arn:aws:s3:::b/{number}")));
    let plan = Plan::new(&lab, &folder).set("state_directory", state.display()).set("poll_interval_ms", 20);
    let mut last = 0;
    for round in 0..lab.kills() {
        put(&folder, "good.json", GOOD)?;
        let mut sidecar = plan.serving().await?;
        let begun = Instant::now();
        let first = last;
        while begun.elapsed() < Duration::from_millis(60 + u64::from(round * 37 % 150)) {
            last += 1;
            put(&folder, "bob.json", version(last))?;
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        sidecar.kill()?;
        put(&folder, "good.json", "{")?;
        let next = plan.serving().await?;
        next.serves_alice().await?;
        let client = next.client().await?;
        let mut served = None;
        // What the rounds before have kept may be served as well, when this one was killed before its first.
        for number in (0..=last).rev() {
            let place = format!("arn:aws:s3:::b/{number}");
            let asked = portcullis_client::Request::new(arn("bob"), "s3:GetObject", place);
            if client.decide(asked).await?.is_allowed() {
                served = Some(number);
                break;
            }
        }
        ensure!(served.is_some() || first == 0, "round {round}: no whole version is served");
    }
    let record = state.join("last-good");
    let whole = fs::read(&record)?;
    let mut broken = vec![Vec::new(), b"nonsense".to_vec()];
    for part in [1, 2, 4, 8] {
        broken.push(whole.get(..whole.len() * part / 9).unwrap_or_default().to_vec());
    }
    broken.push(whole.get(..whole.len() - 1).unwrap_or_default().to_vec());
    for place in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        if let Some(byte) = changed.get_mut(place) {
            *byte ^= 1;
        }
        broken.push(changed);
    }
    for bytes in &broken {
        fs::write(&record, bytes)?;
        let sidecar = plan.start().await?;
        sidecar.until_status("a rejection", |status| status.last_rejection.is_some()).await?;
        ensure!(sidecar.refusal().await? == "Unavailable NO_POLICY_SET", "a broken record is served");
        ensure!(sidecar.said("the last good policy set cannot be used"), "the log does not say so");
    }
    Ok(format!("{} kills, always a whole policy set; {} broken records ignored", lab.kills(), broken.len()))
}

async fn clock(lab: Lab) -> Outcome {
    let library = fake_time().context("no libfaketime")?;
    let folder = good_folder(&lab, "F79")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let before =
        |seconds: u64| allow_if(&format!(r#"{{"NumericLessThan": {{"aws:EpochTime": "{seconds}"}}}}"#));
    let after =
        |seconds: u64| allow_if(&format!(r#"{{"NumericGreaterThan": {{"aws:EpochTime": "{seconds}"}}}}"#));
    put(&folder, "soon.json", user("soon", &before(now + 1_800)))?;
    put(&folder, "past.json", user("past", &after(now - 1_800)))?;
    let file = lab.folder("F79-time")?.join("offset");
    let set = |text: &str| -> anyhow::Result<()> {
        let next = file.with_extension("next");
        fs::write(&next, format!("{text}\n"))?;
        Ok(fs::rename(next, &file)?)
    };
    set("+0")?;
    let plan = Plan::new(&lab, &folder)
        .variable("LD_PRELOAD", library.display())
        .variable("FAKETIME_TIMESTAMP_FILE", file.display())
        .variable("FAKETIME_NO_CACHE", 1)
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", 1)
        .variable("DONT_FAKE_MONOTONIC", 1);
    let sidecar = plan.serving().await?;
    let client = sidecar.client().await?;
    let ask = async |name: &str| -> anyhow::Result<bool> {
        let asked = portcullis_client::Request::new(arn(name), "s3:GetObject", "arn:aws:s3:::b/1");
        Ok(client.decide(asked).await?.is_allowed())
    };
    let mut generation = 1;
    for (offset, soon, past) in [
        ("+0", true, true),
        ("+1h", false, true),
        ("-1h", true, false),
        ("@1970-01-02 00:00:00", true, false),
        ("@2100-01-01 00:00:00", false, true),
        ("+0", true, true),
    ] {
        set(offset)?;
        until(&format!("decisions follow {offset}"), async || {
            Ok(ask("soon").await? == soon && ask("past").await? == past)
        })
        .await?;
        // The poll and the settling of the directory go by another clock.
        generation += 1;
        put(&folder, "bob.json", user("bob", &allow(&format!("arn:aws:s3:::b/{generation}"))))?;
        let begun = Instant::now();
        sidecar.until_generation(generation).await?;
        ensure!(begun.elapsed() < Duration::from_secs(5), "a reload took {} ms", begun.elapsed().as_millis());
        sidecar.serves_alice().await?;
    }
    let counted = async || sidecar.metric("portcullis_clock_step_total", "").await;
    // The last jump was back to the true time; one more, left alone until it is noticed.
    let before = counted().await?;
    set("+2h")?;
    until("the step is counted", async || Ok(counted().await? > before + 0.5)).await?;
    let steps = counted().await?;
    Ok(format!("decisions follow the wall clock, reloads and answers do not care; {steps} steps counted"))
}

async fn no_random(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F80")?;
    let trace =
        ["strace", "--daemonize", "--follow-forks", "-o", "/dev/null", "-e", "inject=getrandom:error=EIO"];
    let mut command: Command = Plan::new(&lab, &folder).before(&trace).command();
    let output = command.output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(!output.status.success(), "it started");
    ensure!(!out.contains("listens"), "it listened: {out}");
    ensure!(err.contains("random data"), "it does not say why: {err}");
    let line = err.lines().rfind(|line| line.contains("random data")).unwrap_or_default().to_owned();
    Ok(format!("{}, nothing was bound: {}", output.status, line.trim()))
}
