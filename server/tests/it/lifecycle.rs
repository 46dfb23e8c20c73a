//! The switches of a running process.

use portcullis_server::Outcome;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::sidecar::{POLICIES, Sidecar};

#[tokio::test]
async fn a_reload_reads_the_directory() {
    let sidecar = Sidecar::start().await;
    let scans = sidecar.store.status().scans;
    let mut statuses = sidecar.store.subscribe_status();
    for _ in 0..1000 {
        sidecar.lifecycle.reload();
    }
    statuses.wait_for(|status| status.scans > scans).await.unwrap();
    sidecar.lifecycle.dump();
    assert_eq!(sidecar.page("/livez").await.0, 200);
    assert_eq!(sidecar.store.status().generation, 1);
}

#[tokio::test]
async fn a_cut_ends_a_drain_that_a_peer_holds() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.drain_ms = 3_600_000;
        config.drain_delay_ms = 3_600_000;
    })
    .await;
    let mut held = TcpStream::connect(sidecar.grpc).await.unwrap();
    held.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    held.read_exact(&mut [0; 9]).await.unwrap();
    sidecar.lifecycle.stop();
    assert_eq!(sidecar.page("/readyz").await, (503, "draining\n".to_owned()));
    sidecar.lifecycle.cut();
    assert_eq!(sidecar.ended().await, Outcome::Cut);
}
