//! Decisions in this process: the sidecar's engine and its store of policies, without a sidecar.
//!
//! Answers and errors are those of a sidecar on the same policies; a test holds the two together over the whole corpus.
//! Nothing is written to an audit trail and nothing is counted: whoever embeds records what it needs from the
//! [`Decision`]s. Invariant (LAST-GOOD): policies that do not load never replace policies that do.

mod builder;
mod decider;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use portcullis_engine::OwnedKeys;
pub use portcullis_engine::{Diagnostic, LoadMode};
use portcullis_question::moment;
use portcullis_store::{Delivery, FeedError, Store};
pub use portcullis_store::{Rejection, Revision, Status};

use crate::authorizer::Authorizer;
use crate::decision::Decision;
use crate::error::Error;
use crate::request::Request;

pub use builder::Builder;
pub(crate) use decider::{Decider, worded};

/// The name under which [`Embedded::from_json`] files its text.
const GIVEN: &str = "(given)";

/// Why there is no policy set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The policies do not load.
    #[error("{0}")]
    Rejected(Box<Rejection>),
    /// They are not the ones that were announced.
    #[error("the policy set has the revision {received}, not {announced}")]
    Mismatch {
        /// What was announced.
        announced: Revision,
        /// What came.
        received: Revision,
    },
    /// No policy set has come in time.
    #[error("no policy set within {} ms", .0.as_millis())]
    Timeout(Duration),
}

impl From<FeedError> for LoadError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Policies(rejection) => Self::Rejected(rejection),
            FeedError::Revision { announced, received } => Self::Mismatch { announced, received },
        }
    }
}

/// Decides in this process. Cheap to clone; all clones are one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portcullis_client::{Authorizer, Embedded};
///
/// let pdp = Embedded::from_json(r#"{"UserDetailList": [{
///     "UserName": "alice",
///     "Arn": "arn:aws:iam::123456789012:user/alice",
///     "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {
///         "Version": "2012-10-17",
///         "Statement": {"Effect": "Allow", "Action": "orders:Get*", "Resource": "*"}}}]}]}"#)?;
/// let decision = pdp.authorize("arn:aws:iam::123456789012:user/alice", "orders:GetOrder", "*").await?;
/// assert!(decision.is_allowed());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Embedded {
    decider: Decider,
}

impl Embedded {
    /// Loads a policy directory and follows its changes, with the defaults of [`Builder`]; waits for the first load.
    ///
    /// # Errors
    /// When the policies do not load, or not within 30 s.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, LoadError> {
        Builder::new(directory).open().await
    }

    /// Settings before opening a policy directory.
    #[must_use]
    pub fn builder(directory: impl Into<PathBuf>) -> Builder {
        Builder::new(directory)
    }

    /// Decides on the text of one policy file, for ever. Needs no runtime.
    ///
    /// # Errors
    /// When it does not load.
    pub fn from_json(text: impl Into<Vec<u8>>) -> Result<Self, LoadError> {
        Self::from_files([(GIVEN, text)], LoadMode::Lenient)
    }

    /// Decides on these policy files, for ever: a name for each, by which answers and diagnostics speak of it, and what it
    /// holds. Needs no runtime.
    ///
    /// # Errors
    /// When they do not load.
    pub fn from_files<N: Into<String>, T: Into<Vec<u8>>>(
        files: impl IntoIterator<Item = (N, T)>,
        load_mode: LoadMode,
    ) -> Result<Self, LoadError> {
        let files = files.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        let (store, mut feed) = Store::fed();
        feed.put(Delivery { files, load_mode, revision: None, generation: 1 })?;
        Ok(Self { decider: Decider::new(store, load_mode) })
    }

    /// May this be done? The same as [`Authorizer::decide`], without a future: a decision waits for nothing.
    ///
    /// # Errors
    /// When there is no decision; read it as a refusal.
    pub fn decide_now(&self, request: Request) -> Result<Decision, Error> {
        self.decider.decide(request, moment(SystemTime::now()), OwnedKeys::Refuse)
    }

    /// What would be decided at `time`. Unlike for a decision, context may say what the engine knows better, such as
    /// `aws:CurrentTime` or `aws:PrincipalTag/..`, and is believed: never act on the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn simulate(&self, request: Request, time: SystemTime) -> Result<Decision, Error> {
        self.decider.decide(request, moment(time), OwnedKeys::Override)
    }

    /// Waits for the first policy set, at most for `timeout`.
    ///
    /// # Errors
    /// When what is in the directory does not load, at once; when there is no policy set in time.
    pub async fn ready(&self, timeout: Duration) -> Result<(), LoadError> {
        self.decider.ready(timeout).await
    }

    /// What is loaded, and what was refused since and why.
    #[must_use]
    pub fn status(&self) -> Status {
        self.decider.store().status()
    }

    /// Reads the directory soon; without this, when it changes and every few seconds.
    pub fn rescan(&self) {
        self.decider.store().rescan();
    }
}

impl Authorizer for Embedded {
    async fn decide(&self, request: Request) -> Result<Decision, Error> {
        self.decide_now(request)
    }

    /// All are answered from one policy set and one clock reading.
    async fn authorize_all(&self, requests: Vec<Request>) -> Vec<Result<Decision, Error>> {
        self.decider.authorize_all(requests, moment(SystemTime::now()))
    }
}

#[cfg(test)]
mod tests;
