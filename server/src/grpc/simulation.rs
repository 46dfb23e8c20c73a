//! Simulate: the five steps of `authorization` on a policy set built for the one call.
//!
//! Runs where blocking is allowed. Invariant: the evaluator is the engine's; only the policy set and the rule for
//! engine-owned keys differ.

use std::sync::Arc;
use std::time::SystemTime;

use portcullis_engine::{LoadMode, Loaded, OwnedKeys, PolicySet, PolicySetBuilder};
use portcullis_proto::v1;
use portcullis_question::{self as question, Detail, Message, Question, Refused, SessionPolicyCache, moment};
use portcullis_store::Snapshot;

use super::authorization::{asked, stamp};
use super::encode::{self, Stamp};
use super::request_id::RequestId;
use super::status::Refusal;

/// The name under which diagnostics speak of the given directory.
const GIVEN: &str = "(given)";

/// Answers one simulation. Its decision is counted nowhere: nobody acts on it.
pub(super) fn answer(
    message: &v1::SimulateRequest,
    snapshot: Option<Arc<Snapshot>>,
    policies: &SessionPolicyCache,
    mode: LoadMode,
) -> Result<v1::SimulateResponse, Refusal> {
    let v1::SimulateRequest { request, directory_json, directory_mode, current_time } = message;
    let asked = Message::from(asked(request.as_ref())?);
    let (question, wishes) = question::authorize(&asked, policies)?;
    let now = match current_time {
        Some(time) => {
            question::instant("current_time", time).map_err(|wrong| Refused::Malformed(vec![wrong]))?
        }
        None => moment(SystemTime::now()),
    };
    let question = Simulated { question, detail: wishes.detail, now };
    match v1::DirectoryMode::try_from(*directory_mode) {
        Ok(v1::DirectoryMode::Replace) => question.answer(&alone(directory_json, mode)?, &Stamp::default()),
        Ok(v1::DirectoryMode::Unspecified | v1::DirectoryMode::Overlay) => {
            let snapshot = snapshot.ok_or(Refused::NotReady)?;
            wishes.met_by(snapshot.generation)?;
            if directory_json.is_empty() {
                return question.answer(&snapshot.policy_set, &stamp(&snapshot));
            }
            let laid_over = snapshot.overlay(directory_json, false, mode).map_err(Refusal::Policies)?;
            question.answer(&laid_over, &stamp(&snapshot))
        }
        Err(_) => Err(Refusal::field("directory_mode", format!("has no value {directory_mode}"))),
    }
}

/// A policy set of the given directory and nothing else; works before the first snapshot.
fn alone(directory_json: &[u8], mode: LoadMode) -> Result<PolicySet, Refusal> {
    let mut builder = PolicySetBuilder::new(mode);
    if !directory_json.is_empty() {
        builder.add(GIVEN, directory_json.to_vec());
    }
    let Loaded { policy_set, diagnostics } = builder.finish();
    policy_set.ok_or(Refusal::Policies(diagnostics))
}

struct Simulated<'m> {
    question: Question<'m>,
    detail: Detail,
    now: portcullis_engine::Instant,
}

impl Simulated<'_> {
    fn answer(&self, policy_set: &PolicySet, stamp: &Stamp) -> Result<v1::SimulateResponse, Refusal> {
        let request = self.question.check(self.now, OwnedKeys::Override)?;
        let name = RequestId::new(SystemTime::now());
        let response = match self.detail {
            Detail::None | Detail::Statements => {
                encode::response(&policy_set.authorize(&request), &request, self.detail, stamp, name)
            }
            Detail::Trace => encode::traced(&policy_set.explain(&request), &request, stamp, name),
        };
        let overridden_keys = request.overridden_keys().into_iter().map(str::to_owned).collect();
        Ok(v1::SimulateResponse { response: Some(response), overridden_keys })
    }
}
