//! What the service and its callers prove themselves with: certificates, authorities and tokens, from files that change.
//!
//! Loaded before anything listens, with all that is wrong said at once, and read again at an interval and on demand; the
//! store's events are for policies alone. Invariants: (KEEP) files that cannot be used replace nothing, and are told of
//! once; (NARROW) when an authority, a revocation or a token changes, every connection that was admitted before is asked
//! to leave, so that what was taken away is gone after one drain.

mod file;
mod follow;
mod gate;
mod reading;

use std::sync::{Arc, PoisonError, RwLock};

use blake3::Hash;
use tokio_util::sync::CancellationToken;

pub(crate) use file::CredentialFile;
pub(crate) use follow::Follower;
pub(crate) use gate::{Entry, Gate};
pub(crate) use reading::Reading;

use crate::audit::Value;
use crate::config::{Config, Finding, joined};
use crate::tls::Tls;
use crate::token::Tokens;

/// Why the configured credentials cannot be used. No finding quotes a secret.
#[derive(Debug, thiserror::Error)]
#[error("{}", joined(.0))]
pub struct CredentialsError(pub Vec<Finding>);

/// All credentials of a process; all clones are one. Without any configured, nothing is asked of anybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) tokens: Option<Arc<Tokens>>,
    admitted: Arc<Admitted>,
}

/// Something made of files, that is made anew when they change.
pub(crate) trait Renewable {
    /// Which files.
    fn files(&self) -> &[CredentialFile];

    /// The digest of the reading that is in use.
    fn active(&self) -> Hash;

    /// Takes what was read, or leaves everything as it is and says why.
    fn renew(&self, reading: &Reading) -> Result<Renewed, Vec<Finding>>;
}

/// What became of new files.
pub(crate) struct Renewed {
    /// For the record.
    pub(crate) details: Vec<(&'static str, Value)>,
    /// Somebody who was admitted before may no longer be.
    pub(crate) narrower: bool,
}

impl Credentials {
    /// Reads everything that the configuration names.
    ///
    /// # Errors
    /// All that is wrong, not the first.
    pub(crate) fn load(config: &Config) -> Result<Self, CredentialsError> {
        let mut wrong = Vec::new();
        let tls = Tls::load(config).unwrap_or_else(|findings| {
            wrong.extend(findings);
            None
        });
        let tokens = Tokens::load(config).unwrap_or_else(|findings| {
            wrong.extend(findings);
            None
        });
        if !wrong.is_empty() {
            return Err(CredentialsError(wrong));
        }
        Ok(Self { tls: tls.map(Arc::new), tokens: tokens.map(Arc::new), admitted: Arc::default() })
    }

    /// From now on whoever was admitted leaves with the drain, too.
    pub(crate) fn leave_with(&self, draining: &CancellationToken) {
        self.admitted.renew(draining.child_token());
    }

    /// Comes when a connection that is admitted now has to leave. Take it before the connection proves itself, so that
    /// a change in between is not missed.
    pub(crate) fn leaving(&self) -> CancellationToken {
        self.admitted.0.read().unwrap_or_else(PoisonError::into_inner).child_token()
    }

    /// Asks everybody who was admitted to leave.
    fn turn_out(&self, draining: &CancellationToken) {
        self.admitted.renew(draining.child_token()).cancel();
    }
}

/// Those who were admitted with the same credentials.
#[derive(Debug, Default)]
struct Admitted(RwLock<CancellationToken>);

impl Admitted {
    fn renew(&self, token: CancellationToken) -> CancellationToken {
        std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), token)
    }
}
