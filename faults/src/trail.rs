//! F81-F88: the audit trail.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_client::{Authorizer as _, Client, Request};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use serde_json::Value;

use crate::content::good_folder;
use crate::fault::{Fault, Need, Outcome};
use crate::frames::{AUTHORIZE, Caller, framed};
use crate::lab::{Lab, output};
use crate::places::Tracer;
use crate::policies::{ALICE, REPORT};
use crate::sidecar::{NEVER, Plan, Sidecar, question, until};

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
        Fault::new("F86", "hostile strings", "line ends, ANSI, bidi, quotes, NUL, 8,192 characters", hostile),
        Fault::new(
            "F87",
            "secrets in every field",
            "a canary in tokens, headers, context; log at its most",
            canary,
        ),
        Fault::new("F88", "rotation while it is written", "a new file every 64 KiB, 16 callers", rotated),
    ]
}

/// What `audit verify` says.
pub(crate) struct Report(Value);

impl Report {
    fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX)
    }

    fn kinds(&self, kind: &str) -> usize {
        let found = self.0.get("Findings").and_then(Value::as_array);
        found
            .into_iter()
            .flatten()
            .filter(|one| one.get("Kind").and_then(Value::as_str) == Some(kind))
            .count()
    }

    /// Nothing is torn, missing, doubled, or lost.
    pub(crate) fn sound(&self) -> anyhow::Result<()> {
        ensure!(self.number("FindingsCount") == 0, "`audit verify` finds {}", self.0);
        Ok(())
    }

    /// Nothing is torn or doubled, and what is missing was told of.
    fn honest(&self) -> anyhow::Result<()> {
        let bad = self.kinds("Torn") + self.kinds("Duplicate") + self.kinds("Missing");
        ensure!(bad == 0 && self.number("Missing") == 0, "`audit verify` finds {}", self.0);
        Ok(())
    }
}

/// Has the program verify a file and the older ones beside it.
pub(crate) fn verified(lab: &Lab, file: &Path) -> anyhow::Result<Report> {
    let mut command = Command::new(lab.program());
    let output = command.args(["audit", "verify", "--rotated", "--output", "json"]).arg(file).output()?;
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Report(serde_json::from_slice(&output.stdout).with_context(error)?))
}

/// The file and those that were set aside from it.
fn files(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = file.file_name().and_then(|name| name.to_str()).context("no name")?;
    let mut found = Vec::new();
    for entry in fs::read_dir(file.parent().context("no folder")?)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(name) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The ids of all answers that have a record.
pub(crate) fn recorded(file: &Path) -> anyhow::Result<BTreeSet<String>> {
    const MEMBER: &str = "\"requestID\":\"";
    let mut ids = BTreeSet::new();
    for file in files(file)? {
        for line in fs::read_to_string(file)?.lines() {
            let after = line.find(MEMBER).and_then(|at| line.get(at + MEMBER.len()..));
            ids.extend(after.and_then(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    Ok(ids)
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

async fn healthy(sidecar: &Sidecar, wanted: bool) -> anyhow::Result<()> {
    until(&format!("portcullis_audit_healthy is {wanted}"), async || {
        let is = sidecar.metric("portcullis_audit_healthy", "").await? > 0.5;
        let waiting = sidecar.metric("portcullis_audit_queue_records", "").await?;
        Ok(is == wanted && (!wanted || waiting < 0.5))
    })
    .await
}

async fn end(sidecar: &mut Sidecar) -> anyhow::Result<()> {
    sidecar.signal(Signal::TERM)?;
    let status = sidecar.ended(NEVER).await?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
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

async fn hostile(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F86")?;
    let file = lab.folder("F86-audit")?.join("audit.jsonl");
    let mut sidecar = Plan::new(&lab, &folder).set("audit_file", file.display()).serving().await?;
    let client = sidecar.client().await?;
    let values = [
        "two\nlines\r\n{\"eventName\":\"Forged\"}",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "a\u{202e}b\u{2066}c\u{2028}d\u{2029}e\u{85}f\u{feff}g\u{7f}",
        "\"quoted\\\" and \\u0000",
        "nul\u{0}nul",
    ];
    let mut asked = Vec::new();
    for value in values {
        let decision = client.decide(question().context("app:value", value)).await?;
        asked.push((decision.answer().request_id().to_owned(), value.to_owned()));
    }
    let long = "x\n".repeat(4_096);
    let decision = client.decide(question().context("app:value", long.as_str())).await?;
    asked.push((decision.answer().request_id().to_owned(), long));
    // In places that are checked: an answer or a refusal, and never a line that is torn.
    let mut refused = 0;
    for hostile in values {
        for request in [
            Request::new(format!("{ALICE}{hostile}"), "s3:GetObject", REPORT),
            Request::new(ALICE, format!("s3:Get{hostile}"), REPORT),
            Request::new(ALICE, "s3:GetObject", format!("{REPORT}{hostile}")),
            question().context(format!("app:{hostile}"), "v"),
        ] {
            refused += u32::from(client.decide(request).await.is_err());
        }
    }
    end(&mut sidecar).await?;
    let text = fs::read_to_string(&file)?;
    let plain =
        |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{2066}\u{2028}\u{2029}\u{feff}".contains(c));
    ensure!(text.chars().all(plain), "a character that a terminal obeys is in the file");
    for (id, value) in &asked {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(id.as_str())).collect();
        let [line] = lines.as_slice() else { anyhow::bail!("{} lines of one answer", lines.len()) };
        let record: Value = serde_json::from_str(line)?;
        let back = record
            .pointer("/requestParameters/context/app:value")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let cut = back.split("...[truncated").next().unwrap_or_default();
        let whole = back == value || (cut.len() < back.len() && value.starts_with(cut));
        ensure!(whole, "{value:?} comes back as {back:?}");
    }
    for line in text.lines() {
        serde_json::from_str::<Value>(line)?;
    }
    for line in sidecar.log.all() {
        ensure!(line.chars().all(plain), "a character that a terminal obeys is in the log");
    }
    Ok(format!(
        "{} answers, one line each, read back as sent; {refused} of 20 in checked places refused",
        asked.len()
    ))
}

async fn canary(lab: Lab) -> Outcome {
    const TOKEN: &str = "canary-token-0123456789-0123456789-0123456789";
    const WRONG: &str = "canary-wrong-0123456789-0123456789-0123456789";
    const VALUE: &str = "canary-value";
    let folder = good_folder(&lab, "F87")?;
    let place = lab.folder("F87-files")?;
    let (file, tokens) = (place.join("audit.jsonl"), place.join("tokens"));
    crate::authority::put_secret(&tokens, &format!("orders {TOKEN} methods=*\n"))?;
    let plan = Plan::new(&lab, &folder).set("audit_file", file.display()).set("token_file", tokens.display());
    // The log tells everything that it can.
    let mut sidecar = plan.set("log", "trace").set("audit_hide", "app:account-number").start().await?;
    sidecar.until_ready().await?;
    let client = Client::builder(&sidecar.address).token(TOKEN).connect().await?;
    let keys = ["app:password", "app:api-key", "app:access_token", "app:ClientSecret", "app:account-number"];
    let request = keys.iter().fold(question(), |request, key| request.context(*key, VALUE));
    let request = request.context("app:note", format!("Bearer {VALUE}"));
    ensure!(client.decide(request).await?.is_allowed(), "the token is refused");
    let wrong = Client::builder(&sidecar.address).token(WRONG).connect().await?;
    ensure!(wrong.decide(question()).await.is_err(), "a wrong token is let in");
    let caller = Caller::connect(&sidecar.address).await?;
    let bearer = format!("Bearer {TOKEN}");
    let body = framed(&crate::calls::wire_question());
    let code = caller.call(AUTHORIZE, &[("authorization", &bearer)], body.clone()).await?.code()?;
    ensure!(code == 0, "the raw call ends with code {code}");
    caller.call(AUTHORIZE, &[("authorization", &format!("Basic {VALUE}"))], body).await?;
    // A file of tokens that is wrong is told of without a word of it.
    crate::authority::put_secret(&tokens, &format!("{TOKEN} {WRONG} {VALUE} more\n"))?;
    sidecar.signal(Signal::HUP)?;
    until("the wrong file is refused", async || {
        Ok(sidecar.metric("portcullis_token_reloads_total", "refused").await? > 0.5)
    })
    .await?;
    sidecar.signal(Signal::USR1)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut places = Vec::new();
    for page in ["/metrics", "/status", "/readyz"] {
        places.push((page, sidecar.page(page).await?.1));
    }
    end(&mut sidecar).await?;
    places.push(("the audit file", fs::read_to_string(&file)?));
    let log = sidecar.log.all();
    ensure!(log.len() > 20, "the log tells {} lines", log.len());
    places.push(("the log", log.join("\n")));
    places.push(("the output", sidecar.out.all().join("\n")));
    for (place, text) in &places {
        for secret in [TOKEN, WRONG, VALUE] {
            let line = text.lines().find(|line| line.contains(secret));
            ensure!(line.is_none(), "{secret} is in {place}: {}", line.unwrap_or_default());
        }
    }
    Ok(format!("in none of {} places, with a log of {} lines at its most talkative", places.len(), log.len()))
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
