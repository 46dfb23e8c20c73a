//! Connections that are old are asked to leave, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;

use crate::raw::{AUTHORIZE, PLAIN, Raw, framed};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question};
use crate::tls::{ask_until_sent, sample};

const AGED: &str = "portcullis_connections_aged_total";

#[tokio::test]
async fn calls_outlive_their_connections() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.connection_age_max_ms = 10).await;
    let ends = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (channel, ends) = (sidecar.channel.clone(), Arc::clone(&ends));
        tasks.spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                ask_until_sent(&channel).await.expect("no call fails");
            }
        });
    }
    let enough = async {
        while sample(&sidecar, AGED).await < 50.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, enough).await.expect("connections age");
    ends.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no call failed");
    }
}

#[tokio::test]
async fn a_connection_that_does_nothing_leaves() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.connection_age_max_ms = 50).await;
    let mut quiet = TcpStream::connect(sidecar.grpc).await.unwrap();
    quiet.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut read = [0; 1 << 10];
    let closed = async {
        // The ping before the last GOAWAY has no answer, and then the bound on silence ends it at the latest.
        loop {
            match quiet.read(&mut read).await {
                Ok(0) | Err(_) => break,
                Ok(length) if read[..length].windows(4).any(|frame| frame == [8, 7, 0, 0]) => break,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(SOON, closed).await.expect("it is asked to leave");
    assert!(sample(&sidecar, AGED).await >= 1.0);
}

#[tokio::test]
async fn zero_is_never() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.connection_age_max_ms = 0).await;
    let raw = Raw::connect(sidecar.grpc).await;
    let good = framed(&question(ALICE, "orders:GetOrder", ORDER));
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good.clone()).await.code(), Code::Ok);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(raw.call(AUTHORIZE, PLAIN, good).await.code(), Code::Ok, "on the same connection");
    assert_eq!(sample(&sidecar, AGED).await, 0.0);
}
