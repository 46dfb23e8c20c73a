//! What a builder refuses before it connects.

use super::*;

#[tokio::test]
async fn a_token_does_not_leave_the_host_in_plain_text() {
    let ask = |endpoint: &str| Builder::new(endpoint).token("canary").connect_lazy();
    for good in
        ["127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "unix:/run/socket", "https://10.0.0.1:1"]
    {
        assert!(ask(good).is_ok(), "{good}");
    }
    for bad in ["10.0.0.1:1", "http://sidecar:1", "http://[fe80::1]:1"] {
        assert!(matches!(ask(bad), Err(Error::Credentials(_))), "{bad}");
    }
    assert!(matches!(Builder::new("[::1]:1").token("a b").connect_lazy(), Err(Error::Credentials(_))));
    let shown = format!("{:?} {:?}", Builder::new("127.0.0.1:1").token("canary"), ask("127.0.0.1:1"));
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn certificates_are_for_tls_and_must_be_some() {
    let plain = Builder::new("127.0.0.1:1").tls_ca("x").connect_lazy();
    assert!(matches!(plain, Err(Error::Credentials(_))));
    let broken = Builder::new("https://127.0.0.1:1").tls_identity("x", "y").connect_lazy();
    assert!(matches!(broken, Err(Error::Credentials(_))));
    let none = Builder::new("https://127.0.0.1:1").tls_ca_file("/nowhere/ca").connect_lazy();
    assert!(matches!(none, Err(Error::Credentials(text)) if text.contains("/nowhere/ca")));
}

#[tokio::test]
async fn endpoints_are_checked_before_connecting() {
    for bad in ["", "nowhere", "https:", "http:", "http://a b:1"] {
        assert!(matches!(Builder::new(bad).connect_lazy(), Err(Error::Endpoint(_))), "{bad}");
    }
}
