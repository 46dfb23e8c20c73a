//! Whose processes may connect to the Unix socket.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use portcullis_server::Config;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tonic::Code;

use crate::raw::{AUTHORIZE, Answer, PLAIN, Raw, framed};
use crate::sidecar::{ALICE, ORDER, POLICIES, SOON, Sidecar, question};
use crate::tls::sample;

const FOREIGN: &str = "portcullis_connections_refused_total{reason=\"peer\"}";

async fn sidecar(directory: &TempDir, adjust: impl FnOnce(&mut Config)) -> Sidecar {
    Sidecar::configured(Some(POLICIES), |config| {
        config.uds = Some(directory.path().join("socket"));
        adjust(config);
    })
    .await
}

async fn ask(socket: &Path) -> Answer {
    let stream = UnixStream::connect(socket).await.unwrap();
    let raw = Raw::over(stream, &h2::client::Builder::new()).await;
    raw.call(AUTHORIZE, PLAIN, framed(&question(ALICE, "orders:GetOrder", ORDER))).await
}

/// This process, as the owner of a file that it made.
fn own(directory: &TempDir) -> (u32, u32) {
    let metadata = directory.path().metadata().unwrap();
    (metadata.uid(), metadata.gid())
}

#[tokio::test]
async fn users_and_groups_that_are_allowed_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let (uid, gid) = own(&directory);
    for (uids, gids) in [
        (String::new(), String::new()),
        (uid.to_string(), String::new()),
        (format!("{}, {uid}", uid + 1), (gid + 1).to_string()),
        ((uid + 1).to_string(), gid.to_string()),
        (String::new(), gid.to_string()),
    ] {
        let sidecar = sidecar(&directory, |config| {
            config.uds_allowed_uids = uids.clone();
            config.uds_allowed_gids = gids.clone();
        })
        .await;
        let socket = directory.path().join("socket");
        assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(ask(&socket).await.code(), Code::Ok, "uids {uids:?}, gids {gids:?}");
        assert_eq!(sample(&sidecar, FOREIGN).await, 0.0);
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn others_are_closed_before_they_are_read_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (uid, gid) = own(&directory);
    let sidecar = sidecar(&directory, |config| {
        config.uds_allowed_uids = (uid + 1).to_string();
        config.uds_allowed_gids = (gid + 1).to_string();
        config.connections_max = 1;
        // Whoever is closed at once is not closed for saying nothing.
        config.first_byte_ms = 3_600_000;
    })
    .await;
    for _ in 0..3 {
        let mut stream = UnixStream::connect(directory.path().join("socket")).await.unwrap();
        let mut read = Vec::new();
        let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await.expect("it is closed");
        assert!(closed.is_err() || read.is_empty(), "nothing is said to it: {read:?}");
    }
    assert_eq!(sample(&sidecar, FOREIGN).await, 3.0);
    assert_eq!(sample(&sidecar, "portcullis_connections_accepted_total").await, 0.0);
    // They take no place, and the list is not for TCP.
    assert!(sidecar.authorize(question(ALICE, "orders:GetOrder", ORDER)).await.is_ok());
}
