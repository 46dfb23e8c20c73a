//! A client proves itself and knows the sidecar, also after certificates and tokens have changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_client::{Client, Error};

use crate::sidecar::{SOON, Sidecar, allowed};

/// Writes a file that only its owner may read.
pub(crate) fn put(path: &Path, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path.with_extension("new"), text).unwrap();
    fs::set_permissions(path.with_extension("new"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
    path.to_path_buf()
}

/// A key and a certificate that is its own authority.
fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["sidecar.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

async fn ask(client: Result<Client, Error>) -> Result<bool, Error> {
    client?.decide(allowed()).await.map(|decision| decision.is_allowed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_proves_itself_and_knows_the_sidecar() {
    let ((certificate, key), (stranger, other)) = (pair(), pair());
    let token = "t".repeat(40);
    let sidecar = Sidecar::configured(|config, directory| {
        let file = |name: &str, text: &str| Some(put(&directory.join(name), text));
        config.tls_certificate = file("certificate", &certificate);
        config.tls_key = file("key", &key);
        // One certificate for both sides.
        config.tls_client_ca = file("ca", &certificate);
        config.token_file = file("tokens", &token);
    })
    .await;
    sidecar.load().await;
    let endpoint = sidecar.tcp.replace("http:", "https:");
    let known =
        || Client::builder(&endpoint).tls_ca(&certificate).tls_server_name("sidecar.example").timeout(SOON);
    let proved = || known().tls_identity(&certificate, &key);
    assert_eq!(ask(proved().token(&token).connect().await).await, Ok(true));

    let refused = ask(proved().connect().await).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused { reason, .. } if reason == "UNAUTHENTICATED"), "{refused:?}");
    for unreachable in [
        known().token(&token),
        known().tls_identity(&stranger, &other).token(&token),
        Client::builder(&endpoint).tls_ca(&stranger).tls_server_name("sidecar.example"),
        proved().tls_server_name("another.example").token(&token),
    ] {
        let refused = ask(unreachable.connect().await).await.unwrap_err();
        assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_read_again_and_bad_ones_change_nothing() {
    let ((certificate, key), (next, next_key)) = (pair(), pair());
    let sidecar = Sidecar::configured(|config, directory| {
        config.tls_certificate = Some(put(&directory.join("certificate"), &certificate));
        config.tls_key = Some(put(&directory.join("key"), &key));
        config.tls_client_ca = Some(put(&directory.join("ca"), &format!("{certificate}{next}")));
        config.connection_age_max_ms = 20;
    })
    .await;
    sidecar.load().await;
    let own = |name: &str| sidecar.directory.path().join(name);
    let (authorities, identity, secret) = (
        put(&own("own-ca"), &certificate),
        put(&own("own-certificate"), &certificate),
        put(&own("own-key"), &key),
    );
    let client = Client::builder(sidecar.tcp.replace("http:", "https:"))
        .tls_ca_file(&authorities)
        .tls_identity_files(&identity, &secret)
        .tls_server_name("sidecar.example")
        .timeout(SOON)
        .connect()
        .await
        .unwrap();
    // Longer than a connection lives: every step has new ones.
    let much = async || {
        for _ in 0..10 {
            assert!(client.decide(allowed()).await.unwrap().is_allowed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    much().await;
    put(&identity, "nothing");
    much().await;
    put(&secret, &next_key);
    put(&identity, &next);
    much().await;
}
