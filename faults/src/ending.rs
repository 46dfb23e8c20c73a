//! F75-F76: the end of the process, and who is there at the time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_proto::v1::AuthorizeResponse;
use prost::Message as _;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::calls::wire_question;
use crate::fault::{Fault, Outcome};
use crate::frames::{
    AUTHORIZE, Answer, Attacker, Caller, END_HEADERS, HEADERS, WINDOW_UPDATE, answer, call_fields, frame,
    framed,
};
use crate::lab::Lab;
use crate::policies::good_folder;
use crate::records::{recorded, verified};
use crate::sidecar::{NEVER, Plan};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F75", "SIGTERM under load", "16 callers without a pause", terminated_under_load),
        Fault::new("F76", "SIGTERM beside a peer that holds on", "an open stream and nobody reading", held),
    ]
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
