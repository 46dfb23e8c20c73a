//! F71-F72, F77-F80: the process itself: its threads, its signals, its state, its clock.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use portcullis_proto::v1::SimulateRequest;
use rustix::process::Signal;

use crate::calls::wire_question;
use crate::fault::{Fault, Need, Outcome};
use crate::frames::{AUTHORIZE, Caller, SIMULATE, framed};
use crate::lab::{Lab, fake_time};
use crate::policies::{GOOD, allow, allow_if, arn, good_folder, put, user};
use crate::sidecar::{Plan, question, until};
use crate::tracer::Tracer;

pub(crate) fn faults() -> Vec<Fault> {
    let strace = Need::Program("strace", "strace");
    vec![
        Fault::new(
            "F71",
            "a handler panics",
            "strace makes getrandom, then new threads fail, which libraries panic at",
            panics,
        )
        .needs(strace),
        Fault::new(
            "F72",
            "the task that follows the directory panics",
            "strace makes every new thread fail",
            no_threads,
        )
        .needs(strace)
        .slow(),
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

/// Nothing that a caller sends was found to make a handler panic (F63, F86); two things that the system may refuse do, in
/// libraries that count on them: the first random number of a thread, and a thread for work that blocks.
async fn panics(lab: Lab) -> Outcome {
    const INTERNAL: i32 = 13;
    let folder = good_folder(&lab, "F71")?;
    // One worker, which has answered nothing yet; no look at the directory that would need a thread.
    let plan = Plan::new(&lab, &folder).set("worker_threads", 1).set("poll_interval_ms", 600_000);
    let sidecar = plan.serving().await?;
    let caller = Caller::connect(&sidecar.address).await?;
    let counted = async || sidecar.metric("portcullis_panics_total", "").await;
    ensure!(counted().await? < 0.5, "a panic is counted before the fault");
    let tracer = Tracer::attach(&sidecar, &["-e", "inject=getrandom:error=EIO"]).await?;
    for _ in 0..3 {
        let code = caller.call(AUTHORIZE, &[], framed(&wire_question())).await?.code()?;
        ensure!(code == INTERNAL, "without random numbers the call ends with code {code}");
    }
    drop(tracer);
    let plain = counted().await?;
    ensure!((2.5..3.5).contains(&plain), "{plain} of 3 panics are counted");
    let code = caller.call(AUTHORIZE, &[], framed(&wire_question())).await?.code()?;
    ensure!(code == 0, "afterwards the same call on the same connection ends with code {code}");
    let simulation = SimulateRequest { request: Some(wire_question()), ..SimulateRequest::default() };
    let tracer = Tracer::attach(&sidecar, &["-e", "inject=clone,clone3:error=EAGAIN"]).await?;
    let code = caller.call(SIMULATE, &[], framed(&simulation)).await?.code()?;
    ensure!(code == INTERNAL, "without a thread the simulation ends with code {code}");
    drop(tracer);
    let all = counted().await?;
    ensure!((3.5..4.5).contains(&all), "{all} of 4 panics are counted");
    let code = caller.call(SIMULATE, &[], framed(&simulation)).await?.code()?;
    ensure!(code == 0, "afterwards the same simulation ends with code {code}");
    sidecar.serves_alice().await?;
    Ok(format!(
        "3 plain calls and a simulation end with INTERNAL, {all} panics counted; process and connection live, the same \
         calls are answered afterwards"
    ))
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
    sidecar.says("the reload task ended and is started again").await?;
    Ok(format!("started again, {} times counted; requests answered; the change is loaded", restarts().await?))
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
    put(&folder, "good.json", GOOD)?;
    put(&folder, "bob.json", version(0))?;
    let mut first = plan.serving().await?;
    until("the first record", async || Ok(state.join("last-good").exists())).await?;
    first.kill()?;
    let mut last = 0;
    for round in 0..lab.kills() {
        put(&folder, "good.json", GOOD)?;
        let mut sidecar = plan.serving().await?;
        let begun = Instant::now();
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
        // What the rounds before have kept may be served as well, when this one was killed before its first save.
        for number in (0..=last).rev() {
            let place = format!("arn:aws:s3:::b/{number}");
            let asked = portcullis_client::Request::new(arn("bob"), "s3:GetObject", place);
            if client.decide(asked).await?.is_allowed() {
                served = Some(number);
                break;
            }
        }
        ensure!(served.is_some(), "round {round}: no whole version is served");
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
        sidecar.says("the last good policy set cannot be used").await?;
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
