//! Files that changed -> credentials that changed.
//!
//! One look at a time, off the threads that serve. What is being written is left alone until it holds still.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{CredentialFile, Credentials, Reading, Renewable, Renewed};
use crate::audit::{Audit, Happening, ServiceEvent};
use crate::config::joined;
use crate::grpc::Shared;
use crate::tally::{Renewals, Tally};
use crate::tls::Tls;

/// Two readings this far apart that agree are taken for whole.
const SETTLE: Duration = Duration::from_millis(100);
/// Readings of files that keep changing, before they are left for the next look.
const READINGS_MAX: usize = 20;

/// What looking again needs.
pub(crate) struct Follower {
    credentials: Credentials,
    audit: Audit,
    tally: Arc<Tally>,
    draining: CancellationToken,
    /// Time between two looks.
    poll: Duration,
}

/// How one kind of credential is spoken of.
#[derive(Debug, Clone, Copy)]
struct Words {
    what: &'static str,
    changed: Happening,
    rejected: Happening,
    code: &'static str,
}

const CERTIFICATE: Words = Words {
    what: "certificate",
    changed: Happening::CertificateChanged,
    rejected: Happening::CertificateRejected,
    code: "CertificateRejected",
};
const TOKENS: Words = Words {
    what: "tokens",
    changed: Happening::TokensChanged,
    rejected: Happening::TokensRejected,
    code: "TokensRejected",
};

impl Follower {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            credentials: shared.credentials.clone(),
            audit: shared.audit.clone(),
            tally: Arc::clone(&shared.tally),
            draining: shared.draining.clone(),
            poll: Duration::from_millis(shared.config.credentials_poll_ms),
        }
    }

    /// Looks at every interval and whenever `reloads` says so, until it is dropped.
    pub(crate) async fn follow(self, mut reloads: watch::Receiver<u64>) -> Infallible {
        let (tls, tokens) = (self.credentials.tls.clone(), self.credentials.tokens.clone());
        if tls.is_none() && tokens.is_none() {
            return std::future::pending().await;
        }
        let (mut certificate, mut of_tokens) = (Seen::default(), Seen::default());
        let mut told = None;
        loop {
            if let Some(tls) = &tls {
                self.look(tls.as_ref(), &mut certificate, CERTIFICATE, &self.tally.certificate.renewals)
                    .await;
                self.tally.certificate.not_after.store(tls.not_after(), Ordering::Relaxed);
                self.watch_revocations(tls, &mut told);
            }
            if let Some(tokens) = &tokens {
                self.look(tokens.as_ref(), &mut of_tokens, TOKENS, &self.tally.tokens).await;
            }
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                asked = reloads.changed() => if asked.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }

    /// Says once of each list that it has come to its end; what that means for callers is the handshake's to decide.
    fn watch_revocations(&self, tls: &Tls, told: &mut Option<i64>) {
        let next_update = tls.next_update();
        self.tally.certificate.crl_next_update.store(next_update.unwrap_or_default(), Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_past = next_update.is_some_and(|end| end.unsigned_abs() < now);
        if is_past && *told != next_update {
            *told = next_update;
            tracing::error!(next_update, "a revocation list of client certificates is past its next update");
        }
    }

    async fn look<R: Renewable>(&self, renewable: &R, seen: &mut Seen, words: Words, renewals: &Renewals) {
        let active = renewable.active();
        let known = |digest| digest == active || seen.refused == Some(digest);
        let Some(reading) = settled(renewable.files(), known).await else { return };
        let digest = reading.digest();
        if digest == active {
            if seen.refused.take().is_some() {
                renewals.in_order();
                tracing::info!(what = words.what, "the files are again those that are in use");
            }
            return;
        }
        if seen.refused == Some(digest) {
            return;
        }
        match renewable.renew(&reading) {
            Ok(Renewed { details, narrower }) => {
                seen.refused = None;
                renewals.accepted();
                tracing::info!(what = words.what, "new files are in use");
                let event = ServiceEvent::new(words.changed);
                self.audit.happening(
                    &details.into_iter().fold(event, |event, (name, value)| event.with(name, value)),
                );
                if narrower {
                    self.credentials.turn_out(&self.draining);
                }
            }
            Err(wrong) => {
                seen.refused = Some(digest);
                renewals.refused();
                let error = joined(&wrong);
                tracing::error!(what = words.what, %error, "the new files cannot be used; the old ones stay in use");
                self.audit.happening(&ServiceEvent::new(words.rejected).failed(words.code, error));
            }
        }
    }
}

/// What was seen of one kind of credential.
#[derive(Debug, Default)]
struct Seen {
    /// Files that cannot be used and were told of.
    refused: Option<Hash>,
}

/// A reading that is not of files in the middle of a change; none when they do not come to rest.
async fn settled(files: &[CredentialFile], known: impl Fn(Hash) -> bool) -> Option<Reading> {
    let mut last: Option<Hash> = None;
    for _ in 0..READINGS_MAX {
        let files = files.to_vec();
        // A file system that hangs must not hang whatever else this thread does.
        let reading = tokio::task::spawn_blocking(move || Reading::of(&files)).await.ok()?;
        if last == Some(reading.digest()) || known(reading.digest()) {
            return Some(reading);
        }
        last = Some(reading.digest());
        tokio::time::sleep(SETTLE).await;
    }
    None
}
