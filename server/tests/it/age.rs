//! Connections that are old are asked to leave, and nobody notices.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::raw::{AUTHORIZE, PLAIN, Raw, framed};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question};
use crate::tls::{ask_until_sent, sample};

const AGED: &str = "portcullis_connections_aged_total";

#[tokio::test]
async fn calls_outlive_their_connections() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.connection_age_max_ms = 50).await;
    let enough = async {
        while sample(&sidecar, AGED).await < 5.0 {
            for _ in 0..20 {
                ask_until_sent(&sidecar.channel).await.expect("no call fails");
            }
        }
    };
    tokio::time::timeout(SOON, enough).await.expect("connections age");
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
