//! F81-F85, F88: the audit trail and what it stands on.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_client::Client;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use serde_json::Value;

use crate::fault::{Fault, Need, Outcome};
use crate::frames::{AUTHORIZE, Caller, framed};
use crate::lab::{Lab, output};
use crate::policies::good_folder;
use crate::records::{end, files, healthy, recorded, verified};
use crate::sidecar::{Plan, question, until};
use crate::tracer::Tracer;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F81", "disk full", "a tmpfs of 64 KiB, later enlarged; modes block and sync", full_disk)
            .needs(Need::Mounts),
        Fault::new(
            "F82",
            "audit file moved, folder deleted",
            "rename, with and without SIGHUP; rm -r, mkdir",
            moved,
        ),
        Fault::new("F83", "EIO on fdatasync", "strace makes every sync fail for a while", failed_sync)
            .needs(Need::Program("strace", "strace")),
        Fault::new("F84", "consumer that is stuck", "a pipe that nobody reads; modes drop and block", stuck),
        Fault::new("F85", "kill -9 at random", "16 callers, modes sync and block", killed).slow(),
        Fault::new("F88", "rotation while it is written", "a new file every 64 KiB, 16 callers", rotated),
    ]
}

/// Asks `count` times with `callers` at once; the ids of the answers, and the refusals.
async fn ask(client: &Client, callers: usize, count: usize) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let client = client.clone();
        tasks.spawn(async move {
            let (mut ids, mut refused) = (Vec::new(), Vec::new());
            for _ in 0..count / callers {
                match client.decide(question()).await {
                    Ok(decision) => ids.push(decision.answer().request_id().to_owned()),
                    Err(error) => refused.push(format!("{error:?}")),
                }
            }
            (ids, refused)
        });
    }
    let (mut ids, mut refused) = (Vec::new(), Vec::new());
    while let Some(task) = tasks.join_next().await {
        let (of_task, refused_of_task) = task?;
        ids.extend(of_task);
        refused.extend(refused_of_task);
    }
    Ok((ids, refused))
}

async fn full_disk(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F81")?;
    let mut told = Vec::new();
    for (mode, failure) in [("block", "allow"), ("sync", "deny")] {
        let disk = lab.folder(&format!("F81-{mode}"))?;
        let place = disk.to_string_lossy().into_owned();
        output("mount", &["-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", &place])?;
        let file = disk.join("audit.jsonl");
        let plan = Plan::new(&lab, &folder).set("audit_file", file.display()).set("audit_rotate_bytes", 0);
        let plan = plan.set("audit_queue_records_max", 200).set("audit_sync_ms", 300);
        let mut sidecar = plan.set("audit_mode", mode).set("on_audit_failure", failure).serving().await?;
        let client = sidecar.client().await?;
        let (ids, refused) = ask(&client, 8, 800).await?;
        healthy(&sidecar, false).await?;
        match mode {
            "block" => ensure!(refused.is_empty(), "{} answers did not go out", refused.len()),
            _ => ensure!(
                !refused.is_empty() && refused.iter().all(|error| error.contains("NOT_RECORDED")),
                "on a full disk: {:?}",
                refused.first()
            ),
        }
        let text = fs::read_to_string(&file)?;
        ensure!(text.ends_with('\n'), "the last line is torn while the disk is full");
        output("mount", &["-o", "remount,size=8m", &place])?;
        healthy(&sidecar, true).await?;
        let (more, refused_later) = ask(&client, 4, 40).await?;
        ensure!(refused_later.is_empty(), "with room again: {:?}", refused_later.first());
        let lost = sidecar.metric("portcullis_audit_lost_total", "").await?;
        end(&mut sidecar).await?;
        let written = recorded(&file)?;
        let missing = ids.iter().chain(&more).filter(|id| !written.contains(*id)).count();
        verified(&lab, &file)?.honest()?;
        match mode {
            "block" => {
                ensure!((lost - missing as f64).abs() < 0.5, "{missing} are missing and {lost} counted")
            }
            _ => ensure!(missing == 0, "{missing} acknowledged answers have no record"),
        }
        told.push(format!(
            "{mode}/{failure}: {} answered, {} refused, {missing} without a record, {lost} counted as lost",
            ids.len() + more.len(),
            refused.len()
        ));
        output("umount", &["--lazy", &place])?;
    }
    Ok(format!("no torn line; {}", told.join("; ")))
}

async fn moved(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F82")?;
    let place = lab.folder("F82-audit")?.join("log");
    fs::create_dir(&place)?;
    let file = place.join("audit.jsonl");
    let mut sidecar = Plan::new(&lab, &folder).set("audit_file", file.display()).serving().await?;
    let client = sidecar.client().await?;
    let (mut ids, _) = ask(&client, 4, 40).await?;
    healthy(&sidecar, true).await?;
    fs::rename(&file, place.join("audit.jsonl.000001"))?;
    // Without a signal: the file that is no longer there is noticed.
    until("a new file", async || {
        ids.extend(ask(&client, 1, 1).await?.0);
        Ok(file.exists())
    })
    .await?;
    ids.extend(ask(&client, 4, 40).await?.0);
    healthy(&sidecar, true).await?;
    fs::rename(&file, place.join("audit.jsonl.000002"))?;
    sidecar.signal(Signal::HUP)?;
    until("a new file after SIGHUP", async || {
        ids.extend(ask(&client, 1, 1).await?.0);
        Ok(file.exists())
    })
    .await?;
    ids.extend(ask(&client, 4, 40).await?.0);
    healthy(&sidecar, true).await?;
    let written = recorded(&file)?;
    let missing = ids.iter().filter(|id| !written.contains(*id)).count();
    ensure!(missing == 0, "{missing} of {} have no record after two renames", ids.len());
    verified(&lab, &file)?.sound()?;
    fs::remove_dir_all(&place)?;
    until("it cannot write", async || {
        ask(&client, 1, 1).await?;
        Ok(sidecar.metric("portcullis_audit_healthy", "").await? < 0.5)
    })
    .await?;
    fs::create_dir(&place)?;
    healthy(&sidecar, true).await?;
    let (last, _) = ask(&client, 1, 10).await?;
    end(&mut sidecar).await?;
    let written = recorded(&file)?;
    ensure!(last.iter().all(|id| written.contains(id)), "no records after the folder was made again");
    Ok(format!("{} records over two renames, none lost; goes on when the folder is there again", ids.len()))
}

async fn failed_sync(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F83")?;
    let file = lab.folder("F83-audit")?.join("audit.jsonl");
    let plan = Plan::new(&lab, &folder).set("audit_file", file.display()).set("audit_mode", "sync");
    let mut sidecar = plan.set("on_audit_failure", "deny").set("audit_sync_ms", 3_000).serving().await?;
    let client = sidecar.client().await?;
    let (mut ids, refused) = ask(&client, 4, 40).await?;
    ensure!(refused.is_empty(), "refused before the fault: {:?}", refused.first());
    let tracer = Tracer::attach(&sidecar, &["-e", "inject=fdatasync,fsync:error=EIO"]).await?;
    let (during, refused) = ask(&client, 1, 3).await?;
    drop(tracer);
    ensure!(during.is_empty() && refused.len() == 3, "{} were answered without a sync", during.len());
    ensure!(refused.iter().all(|error| error.contains("NOT_RECORDED")), "{:?}", refused.first());
    healthy(&sidecar, true).await?;
    let (after, refused) = ask(&client, 4, 40).await?;
    ensure!(refused.is_empty(), "refused afterwards: {:?}", refused.first());
    ids.extend(after);
    let failures = sidecar.metric("portcullis_audit_write_failures_total", "").await?;
    let lost = sidecar.metric("portcullis_audit_lost_total", "").await?;
    end(&mut sidecar).await?;
    let written = recorded(&file)?;
    ensure!(ids.iter().all(|id| written.contains(id)), "an acknowledged answer has no record");
    ensure!(lost > 0.5, "nothing is counted as lost");
    ensure!(files(&file)?.len() > 1, "the file whose sync failed is still written to");
    Ok(format!(
        "3 of 3 refused NOT_RECORDED, {failures} failures and {lost} lost counted, a new file begun; then well"
    ))
}

async fn stuck(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F84")?;
    let mut told = Vec::new();
    for mode in ["drop", "block"] {
        let pipe = lab.folder(&format!("F84-{mode}"))?.join("audit.jsonl");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let flags = i32::try_from(OFlags::NONBLOCK.bits())?;
        let mut reader = fs::OpenOptions::new().read(true).custom_flags(flags).open(&pipe)?;
        let plan = Plan::new(&lab, &folder).set("audit_file", pipe.display()).set("audit_mode", mode);
        let mut sidecar = plan.set("audit_queue_records_max", 100).set("audit_wait_ms", 20).serving().await?;
        let client = sidecar.client().await?;
        let begun = Instant::now();
        let (ids, refused) = ask(&client, 8, 800).await?;
        let each = begun.elapsed() / 100;
        ensure!(refused.is_empty(), "{:?}", refused.first());
        ensure!(each < Duration::from_millis(400), "an answer takes {} ms", each.as_millis());
        let lost = sidecar.metric("portcullis_audit_lost_total", "").await?;
        ensure!(lost > 0.5, "800 records went into a pipe that nobody reads");
        // Now somebody reads.
        let text = std::thread::spawn(move || {
            let (mut text, mut buffer, begun) = (Vec::new(), [0; 65_536], Instant::now());
            while begun.elapsed() < Duration::from_secs(20) {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => text.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        healthy(&sidecar, true).await?;
        end(&mut sidecar).await?;
        while !text.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let text = text.join().map_err(|_| anyhow::anyhow!("the reader broke"))?;
        for line in text.lines() {
            serde_json::from_str::<Value>(line).with_context(|| format!("a torn line: {line}"))?;
        }
        let missing = ids.iter().filter(|id| !text.contains(id.as_str())).count();
        ensure!((lost - missing as f64).abs() < 0.5, "{missing} are missing and {lost} counted");
        ensure!(text.contains("AuditGap"), "the trail does not tell of the loss");
        told.push(format!(
            "{mode}: {} answered, {missing} lost and counted, {} ms each",
            ids.len(),
            each.as_millis()
        ));
    }
    Ok(told.join("; "))
}

async fn killed(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F85")?;
    let mut told = Vec::new();
    for mode in ["sync", "block"] {
        let file = lab.folder(&format!("F85-{mode}"))?.join("audit.jsonl");
        let plan = Plan::new(&lab, &folder).set("audit_file", file.display()).set("audit_mode", mode);
        let (mut ids, mut most, kills) =
            (0, 0, if mode == "sync" { lab.kills() } else { lab.kills().min(5) });
        let mut before = 0;
        for round in 0..kills {
            let mut sidecar = plan.serving().await?;
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..16 {
                let caller = Caller::connect(&sidecar.address).await?;
                callers.spawn(async move {
                    let (mut ids, body) = (Vec::new(), framed(&crate::calls::wire_question()));
                    while let Ok(answer) = caller.call(AUTHORIZE, &[], body.clone()).await {
                        ids.push(answer.body);
                    }
                    ids
                });
            }
            // Another moment each time, the same in every run.
            tokio::time::sleep(Duration::from_millis(5 + u64::from(round * 37 % 60))).await;
            sidecar.kill()?;
            let bytes = fs::read(&file)?;
            let new = String::from_utf8_lossy(bytes.get(before..).unwrap_or_default()).into_owned();
            before = bytes.len();
            let mut missing = 0;
            while let Some(answers) = callers.join_next().await {
                for body in answers? {
                    let message: portcullis_proto::v1::AuthorizeResponse =
                        prost::Message::decode(body.get(5..).unwrap_or_default())?;
                    ids += 1;
                    missing += usize::from(!new.contains(&message.request_id));
                }
            }
            ensure!(mode != "sync" || missing == 0, "round {round}: {missing} answers have no record");
            ensure!(missing <= 10_000, "more than the queue is lost");
            most = most.max(missing);
        }
        let report = verified(&lab, &file)?;
        let bad = report.kinds("Missing") + report.kinds("Duplicate");
        ensure!(bad == 0, "`audit verify` finds {}", report.0);
        told.push(format!(
            "{mode}: {kills} kills, {ids} answers, at most {most} of one process without a record"
        ));
    }
    Ok(told.join("; "))
}

async fn rotated(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F88")?;
    let file = lab.folder("F88-audit")?.join("audit.jsonl");
    let plan = Plan::new(&lab, &folder).set("audit_file", file.display()).set("audit_rotate_bytes", 65_536);
    let mut sidecar = plan.set("audit_files_max", 0).set("audit_chain", true).serving().await?;
    let client = sidecar.client().await?;
    let (ids, refused) = ask(&client, 16, 3_200).await?;
    ensure!(refused.is_empty(), "{:?}", refused.first());
    end(&mut sidecar).await?;
    let written = recorded(&file)?;
    let missing = ids.iter().filter(|id| !written.contains(*id)).count();
    ensure!(missing == 0, "{missing} of {} have no record", ids.len());
    verified(&lab, &file)?.sound()?;
    let files = files(&file)?.len();
    ensure!(files > 5, "{files} files");
    Ok(format!("{} records in {files} files, none lost or doubled, the chain is whole", ids.len()))
}
