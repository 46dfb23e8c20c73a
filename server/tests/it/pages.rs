//! The HTTP listener: what it answers, and what it does not put up with.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::sidecar::{POLICIES, SOON, Sidecar};

/// Everything that comes back until the connection is closed.
async fn exchange(sidecar: &Sidecar, request: &str) -> String {
    let mut stream = TcpStream::connect(sidecar.http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it is closed");
    // A peer that closes with bytes unread may reset.
    let _ = read;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn liveness_does_not_depend_on_policies_and_readiness_does() {
    let sidecar = Sidecar::configured(None, |_| {}).await;
    assert_eq!(sidecar.page("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(sidecar.page("/readyz").await, (503, "no policy set has been loaded yet\n".to_owned()));
    sidecar.write("policies.json", POLICIES);
    sidecar.loaded(1).await;
    assert_eq!(sidecar.page("/readyz").await.0, 200);
    sidecar.write("policies.json", "{");
    let mut statuses = sidecar.store.subscribe_status();
    statuses.wait_for(|status| status.rejection.is_some()).await.unwrap();
    assert_eq!(sidecar.page("/readyz").await, (200, "degraded\n".to_owned()));
    assert_eq!(sidecar.page("/livez").await.0, 200);
}

#[tokio::test]
async fn a_policy_set_that_is_too_stale_is_not_ready() {
    use tokio_stream::StreamExt as _;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let sidecar = Sidecar::configured(Some(POLICIES), |config| config.policy_stale_max_ms = 1).await;
    let request = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(sidecar.channel.clone()).watch(request).await.unwrap().into_inner();
    let mut next = async || {
        tokio::time::timeout(SOON, health.next()).await.expect("it changes").unwrap().unwrap().status()
    };
    while next().await != ServingStatus::Serving {}
    sidecar.write("bad.json", "{");
    assert_eq!(next().await, ServingStatus::NotServing);
    assert_eq!(sidecar.page("/readyz").await, (503, "the policy set is stale\n".to_owned()));
    std::fs::remove_file(sidecar.directory.path().join("bad.json")).unwrap();
    sidecar.store.rescan();
    assert_eq!(next().await, ServingStatus::Serving);
    assert_eq!(sidecar.page("/readyz").await.0, 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let sidecar = Sidecar::start().await;
    assert_eq!(sidecar.page("/").await.0, 404);
    assert_eq!(sidecar.page("/metrics/").await.0, 404);
    for method in ["POST", "PUT", "DELETE"] {
        let request = format!("{method} /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(&sidecar, &request).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nallow: get,head\r\n"), "{answer}");
    }
    let head = exchange(&sidecar, "HEAD /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn requests_are_small() {
    let sidecar = Sidecar::start().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10));
    let answer = exchange(&sidecar, &long).await;
    assert!(answer.starts_with("HTTP/1.1 414 ") || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    assert!(exchange(&sidecar, &many).await.starts_with("HTTP/1.1 431 "));
    let body = "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    assert!(exchange(&sidecar, body).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(sidecar.page("/livez").await.0, 200);
}

#[tokio::test]
async fn slow_peers_hold_no_place_for_long() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.http_connections_max = 2;
        config.http_request_ms = 200;
    })
    .await;
    let silent = TcpStream::connect(sidecar.http).await.unwrap();
    let mut slow = TcpStream::connect(sidecar.http).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.unwrap();
    // Both places are taken; this one is served as soon as they are not.
    let served = tokio::time::timeout(SOON, sidecar.page("/livez")).await.expect("it is served");
    assert_eq!(served.0, 200);
    let mut end = Vec::new();
    let _ = tokio::time::timeout(SOON, slow.read_to_end(&mut end)).await.expect("it is closed");
    drop(silent);
}

#[tokio::test]
async fn probes_get_a_place_however_many_hold_on_to_theirs() {
    let sidecar = Sidecar::configured(Some(POLICIES), |config| {
        config.http_connections_max = 2;
        // Nobody is sent away for being slow alone.
        config.http_request_ms = 3_600_000;
    })
    .await;
    let _silent = TcpStream::connect(sidecar.http).await.unwrap();
    let mut kept = TcpStream::connect(sidecar.http).await.unwrap();
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    kept.read_exact(&mut [0; 15]).await.unwrap();
    for _ in 0..4 {
        let served = tokio::time::timeout(SOON, sidecar.page("/livez")).await.expect("it is served");
        assert_eq!(served.0, 200);
    }
}
