//! F61-F65: calls that are not what they should be.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use portcullis_proto::v1::AuthorizeRequest;
use tokio::time::timeout;

use crate::fault::{Fault, Outcome};
use crate::frames::{AUTHORIZE, Answer, Caller, STREAM, answer, framed, framed_bytes};
use crate::lab::Lab;
use crate::policies::{ALICE, REPORT, good_folder};
use crate::sidecar::{NEVER, Plan, Sidecar, until};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F61", "too large", "300 KiB of message, 16 KiB of header, 10,000 headers", too_large),
        Fault::new(
            "F62",
            "compressed message",
            "the flag of compression, with and without gzip named",
            compressed,
        ),
        Fault::new(
            "F63",
            "malformed protobuf",
            "random bytes, a cut message, 10,000 groups in each other",
            malformed,
        ),
        Fault::new("F64", "caller gives up", "500 calls reset before their body", given_up),
        Fault::new(
            "F65",
            "odd grpc-timeout",
            "0n, garbage, 99999999H, and a body that does not come",
            timeouts,
        ),
    ]
}

const OK: i32 = 0;
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const RESOURCE_EXHAUSTED: i32 = 8;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;

/// What alice asks, on the wire.
pub(crate) fn wire_question() -> AuthorizeRequest {
    AuthorizeRequest {
        principal: ALICE.to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: REPORT.to_owned(),
        ..AuthorizeRequest::default()
    }
}

async fn serving(lab: &Lab, id: &str) -> anyhow::Result<(Sidecar, Caller)> {
    let sidecar = Plan::new(lab, &good_folder(lab, id)?).serving().await?;
    let caller = Caller::connect(&sidecar.address).await?;
    Ok((sidecar, caller))
}

async fn well(sidecar: &Sidecar) -> anyhow::Result<()> {
    sidecar.serves_alice().await?;
    ensure!(sidecar.metric("portcullis_panics_total", "").await? < 0.5, "a panic is counted");
    Ok(())
}

async fn too_large(lab: Lab) -> Outcome {
    let (sidecar, caller) = serving(&lab, "F61").await?;
    let big = caller.call(AUTHORIZE, &[], framed_bytes(0, &vec![10; 300 << 10])).await?.code()?;
    ensure!([RESOURCE_EXHAUSTED, OUT_OF_RANGE].contains(&big), "the message ends with code {big}");
    let same = caller.call(AUTHORIZE, &[], framed(&wire_question())).await?.code()?;
    ensure!(same == OK, "the connection is not used any more: {same}");
    // A length of 4 GiB and nothing behind it.
    let (mut stream, response) = caller.begin(AUTHORIZE, &[]).await?;
    stream.send_data(Bytes::from_static(&[0, 255, 255, 255, 255]), false)?;
    let claimed = timeout(NEVER, answer(response)).await.context("no answer")??.code()?;
    // It need not be believed before it comes, and its deadline ends it.
    let ends = [RESOURCE_EXHAUSTED, OUT_OF_RANGE, DEADLINE_EXCEEDED];
    ensure!(ends.contains(&claimed), "a claimed length ends with code {claimed}");
    let long = "v".repeat(16 << 10);
    let refused = |answer: anyhow::Result<Answer>| {
        answer.is_err() || answer.is_ok_and(|answer| answer.code().is_ok_and(|code| code != OK))
    };
    let header = caller.call(AUTHORIZE, &[("x-long", &long)], framed(&wire_question())).await;
    ensure!(refused(header), "a header of 16 KiB is taken");
    let names: Vec<_> = (0..10_000).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let other = Caller::connect(&sidecar.address).await?;
    ensure!(
        refused(other.call(AUTHORIZE, &many, framed(&wire_question())).await),
        "10,000 headers are taken"
    );
    well(&sidecar).await?;
    Ok(format!("message: code {big}, and the connection goes on; headers are refused"))
}

async fn compressed(lab: Lab) -> Outcome {
    let (sidecar, caller) = serving(&lab, "F62").await?;
    let body = framed_bytes(1, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    let named = caller.call(AUTHORIZE, &[("grpc-encoding", "gzip")], body.clone()).await?.code()?;
    ensure!(named == UNIMPLEMENTED, "gzip ends with code {named}");
    let unnamed = caller.call(AUTHORIZE, &[], body).await?.code()?;
    ensure!(
        [UNIMPLEMENTED, INTERNAL, INVALID_ARGUMENT].contains(&unnamed),
        "the flag alone ends with code {unnamed}"
    );
    well(&sidecar).await?;
    Ok(format!("UNIMPLEMENTED; the flag without a name ends with code {unnamed}"))
}

async fn malformed(lab: Lab) -> Outcome {
    let (sidecar, caller) = serving(&lab, "F63").await?;
    let whole = framed(&wire_question());
    let cut = whole.get(5..whole.len() - 7).unwrap_or_default();
    let noise: Vec<u8> =
        (0..2_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // Group 15 opens 10,000 times, in the message and in a value of its context.
    let groups = vec![0x7b; 10_000];
    let mut codes = Vec::new();
    for (path, field) in [(AUTHORIZE, 0x22), (STREAM, 0x12)] {
        let inner = [&[field, 0x90, 0x4e][..], &groups].concat();
        for bytes in [noise.as_slice(), cut, &groups, &inner, &[0xff; 64], &[0x0a, 0x02, 0xff, 0xfe]] {
            let code = caller.call(path, &[], framed_bytes(0, bytes)).await?.code()?;
            ensure!(
                [INVALID_ARGUMENT, INTERNAL].contains(&code),
                "{} bytes end with code {code}",
                bytes.len()
            );
            codes.push(code);
        }
    }
    well(&sidecar).await?;
    Ok(format!("codes {codes:?}, no panic"))
}

async fn given_up(lab: Lab) -> Outcome {
    let (sidecar, caller) = serving(&lab, "F64").await?;
    let in_flight = async || sidecar.metric("portcullis_grpc_requests_in_flight", "").await;
    let descriptors = sidecar.descriptors()?;
    for round in 0..500 {
        let (mut stream, response) = caller.begin(AUTHORIZE, &[]).await?;
        let body = framed(&wire_question());
        stream.send_data(body.slice(..body.len() / 2), false)?;
        if round % 5 == 0 {
            // Once another one is answered, those before it were taken up; what was not and is given up counts as an
            // attack (F55).
            let code = caller.call(AUTHORIZE, &[], framed(&wire_question())).await?.code()?;
            ensure!(code == OK, "a whole call between them ends with code {code}");
        }
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        tokio::task::yield_now().await;
    }
    until("nothing is under way", async || Ok(in_flight().await? < 0.5)).await?;
    well(&sidecar).await?;
    let counted = sidecar.metric("portcullis_grpc_requests_total", "CANCELLED").await?;
    ensure!(counted > 0.5, "no cancelled call is counted");
    drop(caller);
    until("the descriptors are back", async || Ok(sidecar.descriptors()? <= descriptors)).await?;
    Ok(format!("none is left under way, {counted} counted as CANCELLED, no descriptor kept"))
}

async fn timeouts(lab: Lab) -> Outcome {
    let (sidecar, caller) = serving(&lab, "F65").await?;
    let mut told = Vec::new();
    for (value, allowed) in [
        ("0n", [OK, DEADLINE_EXCEEDED].as_slice()),
        ("garbage", &[OK]),
        ("-1S", &[OK]),
        ("99999999H", &[OK]),
        ("999999999S", &[OK]),
        ("10S", &[OK]),
    ] {
        let code =
            caller.call(AUTHORIZE, &[("grpc-timeout", value)], framed(&wire_question())).await?.code()?;
        ensure!(allowed.contains(&code), "{value} ends with code {code}");
        told.push(format!("{value} {code}"));
    }
    for value in ["20m", "0n", "99999999H", "garbage"] {
        // The service's own two seconds hold as well.
        let (mut stream, response) = caller.begin(AUTHORIZE, &[("grpc-timeout", value)]).await?;
        stream.send_data(Bytes::from_static(&[0]), false)?;
        let code = timeout(NEVER, answer(response)).await.context("no end")??.code()?;
        ensure!(code == DEADLINE_EXCEEDED, "{value} without a body ends with code {code}");
    }
    well(&sidecar).await?;
    Ok(format!("{}; without a body DEADLINE_EXCEEDED", told.join(", ")))
}
