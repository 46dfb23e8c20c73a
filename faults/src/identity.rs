//! F66-F70: who is let in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use portcullis_client::{Client, Error};
use rustix::process::Signal;

use crate::authority::{Authority, Pair, put_secret};
use crate::fault::{Fault, Need, Outcome};
use crate::lab::Lab;
use crate::policies::good_folder;
use crate::sidecar::{NEVER, Plan, Sidecar, question, until};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new(
            "F66",
            "bad client certificates",
            "expired, of another authority, revoked, none",
            bad_certificates,
        ),
        Fault::new(
            "F67",
            "certificate replaced under load",
            "20 good pairs and 3 broken ones, beside callers",
            rotation,
        ),
        Fault::new(
            "F68",
            "client authority taken away",
            "the file of authorities without it",
            authority_gone,
        ),
        Fault::new("F69", "wrong user on the Unix socket", "a process of user 65534 connects", wrong_user)
            .needs(Need::Root)
            .needs(Need::Program("setpriv", "util-linux")),
        Fault::new(
            "F70",
            "stale and living socket files",
            "kill -9, then a start; a second start beside it",
            sockets,
        ),
    ]
}

/// The files of a sidecar that speaks TLS.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    authorities: PathBuf,
    revoked: PathBuf,
}

impl Files {
    fn new(lab: &Lab, id: &str, server: &Pair, authorities: &str) -> anyhow::Result<Self> {
        let folder = lab.folder(&format!("{id}-tls"))?;
        let of = |name: &str| folder.join(name);
        let files = Self {
            certificate: of("tls.crt"),
            key: of("tls.key"),
            authorities: of("ca.pem"),
            revoked: of("crl.pem"),
        };
        files.put(server)?;
        put_secret(&files.authorities, authorities)?;
        Ok(files)
    }

    fn put(&self, server: &Pair) -> anyhow::Result<()> {
        put_secret(&self.key, &server.key)?;
        put_secret(&self.certificate, &server.certificate)
    }

    fn plan(&self, lab: &Lab, policies: &std::path::Path) -> Plan {
        Plan::new(lab, policies)
            .set("tls_certificate", self.certificate.display())
            .set("tls_key", self.key.display())
            .set("tls_client_ca", self.authorities.display())
            .set("credentials_poll_ms", 100)
    }
}

async fn connect(sidecar: &Sidecar, authority: &str, identity: Option<&Pair>) -> Result<Client, Error> {
    let mut builder = Client::builder(format!("https://{}", sidecar.address))
        .tls_ca(authority)
        .timeout(Duration::from_secs(5));
    if let Some(Pair { certificate, key }) = identity {
        builder = builder.tls_identity(certificate, key);
    }
    builder.connect().await
}

/// One question on a connection of its own.
async fn ask(sidecar: &Sidecar, authority: &str, identity: Option<&Pair>) -> Result<bool, Error> {
    Ok(connect(sidecar, authority, identity).await?.decide(question()).await?.is_allowed())
}

async fn bad_certificates(lab: Lab) -> Outcome {
    let (ours, foreign) = (Authority::new("ours")?, Authority::new("foreign")?);
    let files = Files::new(&lab, "F66", &ours.server(1, 2100)?, &ours.pem)?;
    put_secret(&files.revoked, &ours.revocation(7, 2100)?)?;
    let folder = good_folder(&lab, "F66")?;
    let plan = files.plan(&lab, &folder).set("tls_client_crl", files.revoked.display());
    let sidecar = plan.serving().await?;
    let good = ours.client(5, 2100)?;
    ensure!(ask(&sidecar, &ours.pem, Some(&good)).await?, "a good certificate is refused");
    let bad = [
        ("expired", Some(ours.client(6, 2001)?)),
        ("of another authority", Some(foreign.client(5, 2100)?)),
        ("revoked", Some(ours.client(7, 2100)?)),
        ("missing", None),
    ];
    for (kind, pair) in &bad {
        ensure!(ask(&sidecar, &ours.pem, pair.as_ref()).await.is_err(), "{kind}: let in");
    }
    // What does not speak TLS at all is no caller either.
    let plain = match Client::connect(sidecar.address.clone()).await {
        Ok(client) => client.decide(question()).await.is_ok(),
        Err(_) => false,
    };
    ensure!(!plain, "plain text: let in");
    let refused = sidecar.metric("portcullis_connections_refused_total", "handshake").await?;
    ensure!(refused >= 4.5, "{refused} refused handshakes are counted");
    ensure!(ask(&sidecar, &ours.pem, Some(&good)).await?, "a good certificate is refused afterwards");
    // A list that should have been replaced by now is not taken; the one before stays.
    put_secret(&files.revoked, &ours.revocation(8, 2021)?)?;
    sidecar.signal(Signal::HUP)?;
    until("the old list is refused", async || {
        Ok(sidecar.metric("portcullis_certificate_reloads_total", "refused").await? > 0.5)
    })
    .await?;
    let revoked = ours.client(7, 2100)?;
    ensure!(
        ask(&sidecar, &ours.pem, Some(&revoked)).await.is_err(),
        "with an outdated list: revoked, and let in"
    );
    ensure!(
        ask(&sidecar, &ours.pem, Some(&good)).await?,
        "with an outdated list: a good certificate is refused"
    );
    Ok(format!(
        "all refused in the handshake, plain text as well; {refused} counted; an outdated list is not taken"
    ))
}

async fn rotation(lab: Lab) -> Outcome {
    const PAIRS: u64 = 20;
    let ours = Authority::new("ours")?;
    let files = Files::new(&lab, "F67", &ours.server(1, 2050)?, &ours.pem)?;
    let folder = good_folder(&lab, "F67")?;
    let sidecar = files.plan(&lab, &folder).serving().await?;
    let identity = ours.client(5, 2100)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for number in 0..4 {
        let (stop, address) = (Arc::clone(&stop), sidecar.address.clone());
        let (authority, identity) = (ours.pem.clone(), identity.clone());
        // On threads, so that handshakes of callers do not wait for each other.
        callers.push(std::thread::spawn(move || -> anyhow::Result<u32> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let connect = async || {
                    Client::builder(format!("https://{address}"))
                        .tls_ca(&authority)
                        .tls_identity(&identity.certificate, &identity.key)
                        .timeout(Duration::from_secs(5))
                        .connect()
                        .await
                };
                let (mut client, mut calls) = (connect().await?, 0);
                while !stop.load(Ordering::Acquire) {
                    // Half of them shake hands again and again, the others stay.
                    if number % 2 == 0 {
                        client = connect().await?;
                    }
                    ensure!(client.decide(question()).await?.is_allowed(), "alice is denied");
                    calls += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(calls)
            })
        }));
    }
    let reloads = async |result: &str| sidecar.metric("portcullis_certificate_reloads_total", result).await;
    for number in 0..PAIRS {
        files.put(&ours.server(number + 2, 2051)?)?;
        until("the new pair", async || Ok(reloads("accepted").await? > number as f64 + 0.5)).await?;
    }
    let not_after = sidecar.metric("portcullis_certificate_not_after_timestamp_seconds", "").await?;
    let other = ours.server(99, 2060)?;
    let foreign = ours.server(98, 2060)?;
    let half = other.certificate.split_at(other.certificate.len() / 2).0.to_owned();
    for broken in [
        Pair { certificate: "nonsense".to_owned(), key: other.key.clone() },
        Pair { certificate: half, key: other.key.clone() },
        Pair { certificate: other.certificate.clone(), key: foreign.key },
    ] {
        let refused = reloads("refused").await?;
        files.put(&broken)?;
        until("the broken pair is refused", async || Ok(reloads("refused").await? > refused + 0.5)).await?;
    }
    let after = sidecar.metric("portcullis_certificate_not_after_timestamp_seconds", "").await?;
    ensure!((not_after - after).abs() < 1.0, "a broken pair took the place of a good one");
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Release);
    let mut calls = 0;
    for caller in callers {
        while !caller.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        calls += caller.join().map_err(|_| anyhow::anyhow!("a caller broke"))??;
    }
    ensure!(calls > 50, "only {calls} calls were made");
    let (accepted, refused) = (reloads("accepted").await?, reloads("refused").await?);
    Ok(format!("{calls} calls, 0 failed; {accepted} pairs accepted, {refused} refused and the old one kept"))
}

async fn authority_gone(lab: Lab) -> Outcome {
    let (old, new) = (Authority::new("old")?, Authority::new("new")?);
    let server = new.server(1, 2100)?;
    let files = Files::new(&lab, "F68", &server, &format!("{}{}", old.pem, new.pem))?;
    let folder = good_folder(&lab, "F68")?;
    let sidecar = files.plan(&lab, &folder).serving().await?;
    let (of_old, of_new) = (old.client(5, 2100)?, new.client(5, 2100)?);
    ensure!(ask(&sidecar, &new.pem, Some(&of_old)).await?, "the old authority is not let in at first");
    put_secret(&files.authorities, &new.pem)?;
    until("the old authority is refused", async || Ok(ask(&sidecar, &new.pem, Some(&of_old)).await.is_err()))
        .await?;
    for _ in 0..10 {
        ensure!(ask(&sidecar, &new.pem, Some(&of_old)).await.is_err(), "the old authority is let in again");
        ensure!(ask(&sidecar, &new.pem, Some(&of_new)).await?, "the new authority is refused");
    }
    Ok("refused from the next handshake on; that no session is resumed: server/tests/it/tls.rs".to_owned())
}

async fn wrong_user(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F69")?;
    let socket = lab.folder("F69-socket")?.join("s");
    let plan = Plan::new(&lab, &folder).set("uds", socket.display()).set("uds_allowed_uids", 0);
    let sidecar = plan.serving().await?;
    // Its permissions let everybody in, so that only the look at the peer is left.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    let path = socket.to_string_lossy().into_owned();
    let check = |before: &[&str]| {
        let program = lab.program().to_string_lossy().into_owned();
        let mut words = before.iter().map(|word| (*word).to_owned()).chain([program]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(["healthcheck", "--uds", &path]).output()
    };
    ensure!(check(&[])?.status.success(), "the right user is not served");
    let other = check(&["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])?;
    ensure!(!other.status.success(), "another user is served");
    let counted = sidecar.metric("portcullis_connections_refused_total", "peer").await?;
    ensure!(counted > 0.5, "nothing is counted");
    ensure!(check(&[])?.status.success(), "the right user is not served afterwards");
    Ok(format!("closed before HTTP/2, {counted} counted; the right user is served"))
}

async fn sockets(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F70")?;
    let socket = lab.folder("F70-socket")?.join("s");
    let plan = Plan::new(&lab, &folder).set("uds", socket.display());
    let mut first = plan.serving().await?;
    first.kill()?;
    ensure!(socket.exists(), "there is no stale socket");
    let second = plan.serving().await?;
    let client = Client::connect(format!("unix:{}", socket.display())).await?;
    ensure!(client.decide(question()).await?.is_allowed(), "the stale socket was not replaced");
    let third = plan.command().output()?;
    let told = String::from_utf8_lossy(&third.stderr).into_owned();
    ensure!(!third.status.success() && told.contains("another process is listening"), "the third: {told}");
    ensure!(client.decide(question()).await?.is_allowed(), "the living one was disturbed");
    fs::metadata(&socket)?;
    let mut second = second;
    second.signal(rustix::process::Signal::TERM)?;
    ensure!(second.ended(NEVER).await?.success(), "the end");
    Ok("a stale file is replaced; beside a living one the start ends with a sentence".to_owned())
}
