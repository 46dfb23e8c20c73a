//! F89-F90: what the client library makes of a sidecar that is not well.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use portcullis_client::{Authorizer, Client, Error, Request};
use portcullis_proto::v1::AuthorizeResponse;
use prost::Message as _;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fault::{Fault, Outcome};
use crate::frames::{AUTHORIZE, Caller, framed_bytes};
use crate::lab::Lab;
use crate::policies::{ALICE, REPORT, SECRET, good_folder};
use crate::sidecar::{Plan, question, until};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "F89",
            "sidecar away, restarting, babbling, hanging",
            "closed port, kill -9, noise, SIGSTOP",
            away,
        ),
        Fault::new(
            "F90",
            "versions that do not know each other",
            "unknown decision, empty answer, unknown fields",
            versions,
        ),
    ]
}

const DEADLINE: Duration = Duration::from_millis(700);
/// What a machine that is busy may add.
const SLACK: Duration = Duration::from_millis(1_500);

/// Whatever comes back within its deadline, it is no allow.
async fn refused(client: &Client) -> anyhow::Result<Error> {
    let begun = Instant::now();
    let answer = client.decide(question()).await;
    ensure!(begun.elapsed() < DEADLINE + SLACK, "an answer after {} ms", begun.elapsed().as_millis());
    match answer {
        Ok(decision) => {
            ensure!(!decision.is_allowed(), "it is allowed");
            Ok(Error::Answer("a deny"))
        }
        Err(error) => Ok(error),
    }
}

fn lazily(address: &str) -> anyhow::Result<Client> {
    Ok(Client::builder(address).timeout(DEADLINE).connect_timeout(DEADLINE).connect_lazy()?)
}

async fn away(lab: Lab) -> Outcome {
    let mut told = Vec::new();
    // Nobody.
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    told.push(format!("absent: {}", refused(&lazily(&address)?).await?));
    // Somebody who says nothing, and somebody who says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    told.push(format!("silent: {}", refused(&lazily(&silent.local_addr()?.to_string())?).await?));
    let babbling = TcpListener::bind("127.0.0.1:0").await?;
    let address = babbling.local_addr()?.to_string();
    let babble = tokio::spawn(async move {
        while let Ok((mut stream, _)) = babbling.accept().await {
            // It may be gone already.
            let _ = stream.write_all(&[0x55; 512]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nallow").await;
        }
    });
    told.push(format!("babbling: {}", refused(&lazily(&address)?).await?));
    babble.abort();
    // A real one that is stopped, killed, and back.
    let folder = good_folder(&lab, "F89")?;
    let mut sidecar = Plan::new(&lab, &folder).serving().await?;
    let (address, client) = (sidecar.address.clone(), lazily(&sidecar.address)?);
    ensure!(client.decide(question()).await?.is_allowed(), "a living one does not allow");
    sidecar.stop().await?;
    told.push(format!("stopped: {}", refused(&client).await?));
    sidecar.signal(Signal::CONT)?;
    until("it answers again", async || Ok(client.decide(question()).await.is_ok())).await?;
    sidecar.kill()?;
    told.push(format!("killed: {}", refused(&client).await?));
    let again = Plan::new(&lab, &folder).set("listen", &address).serving().await?;
    until("the new one answers", async || {
        Ok(client.decide(question()).await.is_ok_and(|it| it.is_allowed()))
    })
    .await?;
    drop(again);
    told.push(killed_under_load(&lab, &folder, &address).await?);
    Ok(format!("{}; the same client goes on after a restart", told.join("; ")))
}

/// What the callers of one client saw.
#[derive(Default)]
struct Seen {
    decisions: u32,
    errors: u32,
    longest: Duration,
}

/// One after the other, an allow and a deny, until told to end.
async fn ask_on(pdp: impl Authorizer, end: watch::Receiver<bool>) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    while !*end.borrow() {
        for (resource, allowed) in [(REPORT, true), (SECRET, false)] {
            let begun = Instant::now();
            match pdp.decide(Request::new(ALICE, "s3:GetObject", resource)).await {
                Ok(decision) => {
                    ensure!(
                        decision.is_allowed() == allowed,
                        "a wrong answer about {resource}: {decision:?}"
                    );
                    seen.decisions += 1;
                }
                Err(error) => {
                    ensure!(error.is_transient(), "an error that asking again does not mend: {error}");
                    seen.errors += 1;
                }
            }
            seen.longest = seen.longest.max(begun.elapsed());
        }
    }
    Ok(seen)
}

/// The process is killed and started again under load: whoever asks gets right answers or errors, in time.
async fn killed_under_load(lab: &Lab, folder: &Path, address: &str) -> anyhow::Result<String> {
    let client = lazily(address)?;
    let (stop, end) = watch::channel(false);
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        callers.spawn(ask_on(client.clone(), end.clone()));
        callers.spawn(ask_on(client.pipeline(), end.clone()));
    }
    for _ in 0..lab.kills() {
        let mut sidecar = Plan::new(lab, folder).set("listen", address).serving().await?;
        tokio::time::sleep(Duration::from_millis(30)).await;
        sidecar.kill()?;
    }
    let last = Plan::new(lab, folder).set("listen", address).serving().await?;
    until("it answers after the last start", async || Ok(client.decide(question()).await.is_ok())).await?;
    stop.send(true)?;
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        let seen = seen??;
        all.decisions += seen.decisions;
        all.errors += seen.errors;
        all.longest = all.longest.max(seen.longest);
    }
    drop(last);
    ensure!(all.decisions > 0, "nobody was answered");
    ensure!(all.longest < DEADLINE + SLACK, "a call took {} ms", all.longest.as_millis());
    Ok(format!(
        "killed {} times under load: {} right answers, {} errors, none wrong, the slowest call {} ms",
        lab.kills(),
        all.decisions,
        all.errors,
        all.longest.as_millis()
    ))
}

/// A peer that gives every call the same answer.
async fn parrot(message: Vec<u8>) -> anyhow::Result<(String, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = framed_bytes(0, &message);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let head = Response::builder().header("content-type", "application/grpc").body(());
                    let Ok(head) = head else { return };
                    let Ok(mut stream) = respond.send_response(head, false) else { continue };
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    // The caller may be gone.
                    let _ = stream.send_data(body.clone(), false);
                    let _ = stream.send_trailers(trailers);
                }
            });
        }
    });
    Ok((address, task))
}

async fn versions(lab: Lab) -> Outcome {
    let good =
        AuthorizeResponse { decision: 1, reason: 1, layer: 1, generation: 1, ..AuthorizeResponse::default() };
    let with = |decision: i32, reason: i32, layer: i32| AuthorizeResponse {
        decision,
        reason,
        layer,
        ..good.clone()
    };
    // A field that this version does not know.
    let unknown = [good.encode_to_vec(), vec![0xf8, 0x3f, 1]].concat();
    let mut told = Vec::new();
    for (name, message, allowed) in [
        ("a good answer", good.encode_to_vec(), true),
        ("an unknown field", unknown, true),
        ("decision 99", with(99, 1, 1).encode_to_vec(), false),
        ("decision -1", with(-1, 1, 1).encode_to_vec(), false),
        ("no decision", with(0, 1, 1).encode_to_vec(), false),
        ("a deny for an unknown reason", with(2, 99, 99).encode_to_vec(), false),
        ("an empty message", Vec::new(), false),
        ("no protobuf", vec![0xff; 32], false),
    ] {
        let (address, task) = parrot(message).await?;
        let client = lazily(&address)?;
        match allowed {
            true => {
                ensure!(client.decide(question()).await?.is_allowed(), "{name} is not read as an allow")
            }
            false => told.push(format!("{name}: {}", refused(&client).await?)),
        }
        task.abort();
    }
    // The reverse: a newer caller's fields and enum values mean nothing to this service, which still answers.
    let sidecar = Plan::new(&lab, &good_folder(&lab, "F90")?).serving().await?;
    let caller = Caller::connect(&sidecar.address).await?;
    let newer = [crate::calls::wire_question().encode_to_vec(), vec![0xf8, 0x3f, 1]].concat();
    let code = caller.call(AUTHORIZE, &[], framed_bytes(0, &newer)).await?.code()?;
    ensure!(code == 0 || code == 3, "an unknown field ends with code {code}");
    let odd = [crate::calls::wire_question().encode_to_vec(), vec![0x40, 99]].concat();
    let detail = caller.call(AUTHORIZE, &[], framed_bytes(0, &odd)).await?.code()?;
    ensure!(detail == 0 || detail == 3, "an unknown detail ends with code {detail}");
    let missing =
        caller.call("/portcullis.v1.AuthorizationService/Foresee", &[], Bytes::new()).await?.code()?;
    ensure!(missing == 12, "an unknown method ends with code {missing}");
    Ok(format!(
        "{}; to the service: unknown field {code}, unknown detail {detail}, unknown method 12",
        told.join("; ")
    ))
}
