//! F53-F60: peers that want to cost more than they are worth.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fault::{Fault, Outcome};
use crate::frames::{
    AUTHORIZE, Attacker, CONTINUATION, Caller, DATA, END_HEADERS, End, FIELDS, HEADERS, PING, PREFACE,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, call_fields, frame, next,
};
use crate::lab::Lab;
use crate::neighbours::beside;
use crate::policies::good_folder;
use crate::sidecar::{NEVER, Plan, Sidecar, question, until};
use crate::tracer::limit_descriptors;

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F53", "silent connections", "as many as are let in, saying nothing", silent),
        Fault::new("F54", "one byte a second", "a preface, headers and a body, byte by byte", drip),
        Fault::new("F55", "rapid reset", "100,000 times HEADERS and RST_STREAM", rapid_reset).alone(),
        Fault::new(
            "F56",
            "MadeYouReset",
            "100,000 times HEADERS and a window that overflows",
            made_you_reset,
        )
        .alone(),
        Fault::new("F57", "20,000 streams on one connection", "20,000 HEADERS without an end", many_streams)
            .alone(),
        Fault::new("F58", "floods of small frames", "six kinds, each on a connection of its own", floods)
            .alone(),
        Fault::new("F59", "10,000 connections", "10,000 that have said hello and stay", ten_thousand).alone(),
        Fault::new(
            "F60",
            "no descriptor for a connection",
            "RLIMIT_NOFILE lowered, 50 connections wait",
            no_descriptor,
        ),
    ]
}

/// What an attack may cost in memory while it lasts.
const GROWTH_MAX: u64 = 96 << 20;

async fn serving(lab: &Lab, id: &str) -> anyhow::Result<Sidecar> {
    Plan::new(lab, &good_folder(lab, id)?).serving().await
}

async fn closed(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut bytes = [0; 1024];
    loop {
        match timeout(NEVER, stream.read(&mut bytes)).await.context("it is never closed")? {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

async fn silent(lab: Lab) -> Outcome {
    const MAX: usize = 64;
    let folder = good_folder(&lab, "F53")?;
    let socket = lab.folder("F53-socket")?.join("s");
    let plan = Plan::new(&lab, &folder).set("connections_max", MAX).set("first_byte_ms", 8_000);
    let sidecar = plan.set("uds", socket.display()).serving().await?;
    let mut held = Vec::new();
    for _ in 0..MAX {
        held.push(TcpStream::connect(&sidecar.address).await?);
    }
    let begun = Instant::now();
    sidecar.serves_alice().await?;
    let waited = begun.elapsed();
    ensure!(waited < Duration::from_secs(4), "a new caller waited {} ms", waited.as_millis());
    for stream in &mut held {
        closed(stream).await?;
    }
    let took = begun.elapsed();
    let counted = sidecar.metric("portcullis_connections_silent_total", "").await?;
    ensure!(counted >= MAX as f64 - 0.5, "{counted} are counted as silent");
    Ok(format!(
        "a new caller was answered after {} ms: who says nothing makes room; {MAX} of {MAX} closed after {} ms (first_byte_ms 8000)",
        waited.as_millis(),
        took.as_millis()
    ))
}

async fn drip(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F54")?;
    let plan = Plan::new(&lab, &folder).set("first_request_ms", 2_000).set("request_timeout_ms", 1_500);
    let sidecar = plan.set("keepalive_timeout_ms", 1_000).serving().await?;
    let begun = Instant::now();
    // A preface that never comes to its end.
    let mut slow = TcpStream::connect(&sidecar.address).await?;
    // Headers that never come to theirs.
    let mut headers = TcpStream::connect(&sidecar.address).await?;
    headers.write_all(PREFACE).await?;
    headers.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let block = frame(HEADERS, END_HEADERS, 1, &call_fields(&[]));
    let dripping = async {
        for (one, other) in PREFACE.iter().zip(&block) {
            let _ = (slow.write_all(&[*one]).await, headers.write_all(&[*other]).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    // A body that never comes.
    let caller = Caller::connect(&sidecar.address).await?;
    let body = async {
        let (mut stream, response) = caller.begin(AUTHORIZE, &[]).await?;
        stream.send_data(bytes::Bytes::from_static(&[0]), false)?;
        crate::frames::answer(response).await?.code()
    };
    let (code, _) =
        tokio::join!(async { timeout(NEVER, body).await }, timeout(Duration::from_secs(8), dripping));
    let code = code.context("the slow body is never answered")??;
    ensure!(code == 4, "the slow body ends with code {code}");
    closed(&mut slow).await?;
    closed(&mut headers).await?;
    sidecar.serves_alice().await?;
    Ok(format!(
        "preface and headers closed, body DEADLINE_EXCEEDED, all within {} ms",
        begun.elapsed().as_millis()
    ))
}

/// Chunks of many frames, so that an attacker is not slowed down by its own writes.
fn chunks(count: u32, each: impl Fn(u32) -> Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    const TOGETHER: u32 = 50;
    (0..count / TOGETHER)
        .map(move |chunk| (0..TOGETHER).flat_map(|place| each((chunk * TOGETHER + place) * 2 + 1)).collect())
}

async fn rapid_reset(lab: Lab) -> Outcome {
    let sidecar = serving(&lab, "F55").await?;
    let fields = call_fields(&[]);
    let pair = move |stream| {
        [frame(HEADERS, END_HEADERS, stream, &fields), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
            .concat()
    };
    let attack = async {
        let attacker = Attacker::connect(&sidecar.address).await?;
        Ok(attacker.attack(chunks(100_000, pair)).await)
    };
    let ((end, sent), told) = beside(&sidecar, GROWTH_MAX, attack).await?;
    ensure!(end != End::Open, "the attacker is still let in");
    Ok(format!("{end:?} after {} pairs; {told}", sent * 50))
}

async fn made_you_reset(lab: Lab) -> Outcome {
    let sidecar = serving(&lab, "F56").await?;
    let pair = |stream| {
        let window = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
        [frame(HEADERS, END_HEADERS, stream, &FIELDS), window].concat()
    };
    let attack = async {
        let attacker = Attacker::connect(&sidecar.address).await?;
        Ok(attacker.attack(chunks(100_000, pair)).await)
    };
    let ((end, sent), told) = beside(&sidecar, GROWTH_MAX, attack).await?;
    ensure!(end != End::Open, "the attacker is still let in");
    ensure!(sent * 50 < 100_000, "all pairs were taken");
    Ok(format!("{end:?} before pair {} of 100,000; {told}", sent * 50))
}

async fn many_streams(lab: Lab) -> Outcome {
    let sidecar = serving(&lab, "F57").await?;
    let fields = call_fields(&[]);
    let attack = async {
        let mut attacker = Attacker::connect(&sidecar.address).await?;
        for chunk in chunks(1_000, |stream| frame(HEADERS, END_HEADERS, stream, &fields)) {
            attacker.write.write_all(&chunk).await?;
        }
        let (mut refused, begun) = (0, Instant::now());
        while refused < 700 && begun.elapsed() < Duration::from_secs(5) {
            let Ok(seen) = timeout(Duration::from_secs(5), next(&mut attacker.read)).await else { break };
            let Some(seen) = seen else { break };
            refused += u32::from(seen.kind == RST_STREAM && seen.code == 7);
        }
        let another = Attacker::connect(&sidecar.address).await?;
        let end = another.attack(chunks(20_000, |stream| frame(HEADERS, END_HEADERS, stream, &fields))).await;
        Ok((refused, end))
    };
    let ((refused, (end, _)), told) = beside(&sidecar, GROWTH_MAX, attack).await?;
    ensure!(refused >= 700, "only {refused} of 1,000 streams are refused, 256 are allowed");
    Ok(format!("of 1,000 streams {refused} or more refused; 20,000: {end:?}; {told}"))
}

async fn floods(lab: Lab) -> Outcome {
    const COUNT: u32 = 100_000;
    let sidecar = serving(&lab, "F58").await?;
    let open = frame(HEADERS, END_HEADERS, 1, &call_fields(&[]));
    let begun = frame(HEADERS, 0, 1, &FIELDS);
    let kinds: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("CONTINUATION", begun, frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b'])),
        ("empty DATA", open.clone(), frame(DATA, 0, 1, &[])),
        ("PING", Vec::new(), frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", Vec::new(), frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", Vec::new(), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
        ("WINDOW_UPDATE", open, frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
    ];
    let attack = async {
        let mut ends = Vec::new();
        for (kind, first, each) in kinds {
            let mut attacker = Attacker::connect(&sidecar.address).await?;
            attacker.write.write_all(&first).await?;
            let (end, _) = attacker.attack(chunks(COUNT, move |_| each.clone())).await;
            ends.push(format!("{kind} {end:?}"));
        }
        Ok(ends.join(", "))
    };
    let (ends, told) = beside(&sidecar, GROWTH_MAX, attack).await?;
    Ok(format!("100,000 of each: {ends}; {told}"))
}

async fn ten_thousand(lab: Lab) -> Outcome {
    const COUNT: usize = 10_000;
    // Twice what was measured of an optimized build, which this one need not be.
    const EACH_MAX: u64 = 40 << 10;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = Some(COUNT as u64 + 500);
    ensure!(
        limit.maximum.is_none() || limit.maximum >= wanted,
        "needs a hard limit of {COUNT} descriptors and more"
    );
    let limit = rustix::process::Rlimit { current: wanted.max(limit.current), maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?;
    let folder = good_folder(&lab, "F59")?;
    // On a machine that is busy they take their time to come, and they neither ask nor answer a ping meanwhile.
    let plan =
        Plan::new(&lab, &folder).set("first_request_ms", 600_000).set("keepalive_interval_ms", 600_000);
    let sidecar = plan.set("connections_max", COUNT + 100).serving().await?;
    let before = sidecar.resident()?;
    let mut held = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let stream =
            TcpStream::connect(&sidecar.address).await.with_context(|| format!("connection {number}"))?;
        held.push(stream);
        if let Some(stream) = held.last_mut() {
            stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        }
    }
    until("all are let in", async || Ok(sidecar.metric("portcullis_connections", "").await? >= COUNT as f64))
        .await?;
    let begun = Instant::now();
    sidecar.serves_alice().await?;
    let answered = begun.elapsed();
    let each = sidecar.resident()?.saturating_sub(before) / COUNT as u64;
    ensure!(each < EACH_MAX, "{each} bytes for each connection");
    drop(held);
    until("they are gone", async || Ok(sidecar.metric("portcullis_connections", "").await? < 100.0)).await?;
    Ok(format!(
        "{each} bytes for each; another caller is answered after {} ms; all let go",
        answered.as_millis()
    ))
}

async fn no_descriptor(lab: Lab) -> Outcome {
    let sidecar = serving(&lab, "F60").await?;
    let client = sidecar.client().await?;
    ensure!(client.decide(question()).await?.is_allowed(), "alice may no longer read");
    let old = limit_descriptors(&sidecar, Some(3))?;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        waiting.push(TcpStream::connect(&sidecar.address).await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = sidecar.processor_seconds()?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let spent = (sidecar.processor_seconds()? - spent) / 4.0;
    ensure!(client.decide(question()).await?.is_allowed(), "the open connection is not served");
    // The looks at the directory, five each second, are in it as well.
    ensure!(spent < 0.1, "{:.1} % of a processor", spent * 100.0);
    limit_descriptors(&sidecar, old)?;
    drop(waiting);
    sidecar.until_ready().await?;
    sidecar.serves_alice().await?;
    let failed = sidecar.metric("portcullis_accept_errors_total", "").await?;
    ensure!(failed > 0.5, "no failed accept is counted");
    Ok(format!(
        "{:.1} % of a processor, {failed} failed accepts counted; open connections served; recovers",
        spent * 100.0
    ))
}
