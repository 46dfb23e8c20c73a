//! A question -> a decision of the engine, as a sidecar gives it: read, checked, decided on one snapshot.
//!
//! Reads with the sidecar's own reader and has no rule of its own; what it adds is the shape of the answer.

use std::sync::Arc;
use std::time::Duration;

use portcullis_engine as engine;
use portcullis_engine::{Effect, Instant, LoadMode, OwnedKeys, RequestInput};
use portcullis_proto::v1;
use portcullis_question::{self as question, Detail, Kept, Question, Refused, SessionPolicyCache};
use portcullis_store::{Snapshot, Store};

use super::LoadError;
use crate::decision::{Answer, Decision, Layer, Message, Reason, Said, Statement};
use crate::error::{Error, Violation};
use crate::request::Request;

/// Compiled session policies that are kept; a sidecar's default.
const SESSION_POLICIES_MAX: usize = 1024;

/// Decides on whatever its store holds. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Decider {
    store: Store,
    /// How session policies are compiled while nothing is loaded; later as the policy set is.
    load_mode: LoadMode,
    policies: Arc<SessionPolicies>,
}

/// Compiled session policies, by how strictly they were compiled.
#[derive(Debug)]
struct SessionPolicies {
    lenient: SessionPolicyCache,
    strict: SessionPolicyCache,
}

impl Decider {
    pub(crate) fn new(store: Store, load_mode: LoadMode) -> Self {
        let cache = |mode| SessionPolicyCache::new(SESSION_POLICIES_MAX, mode);
        let policies = SessionPolicies { lenient: cache(LoadMode::Lenient), strict: cache(LoadMode::Strict) };
        Self { store, load_mode, policies: Arc::new(policies) }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn decide(
        &self,
        request: Request,
        now: Instant,
        owned_keys: OwnedKeys,
    ) -> Result<Decision, Error> {
        let snapshot = self.store.current();
        match self.said(&request.message, snapshot.as_deref(), now, owned_keys) {
            Ok(said) => Ok(said.to(request)),
            Err(refused) => Err(error(refused)),
        }
    }

    pub(crate) fn authorize_all(&self, requests: Vec<Request>, now: Instant) -> Vec<Result<Decision, Error>> {
        let snapshot = self.store.current();
        let decide = |request: Request| {
            let said = self.said(&request.message, snapshot.as_deref(), now, OwnedKeys::Refuse);
            said.map(|said| said.to(request)).map_err(error)
        };
        requests.into_iter().map(decide).collect()
    }

    /// In a sidecar's order, so that of two reasons to refuse the same one is told.
    fn said(
        &self,
        message: &v1::AuthorizeRequest,
        snapshot: Option<&Snapshot>,
        now: Instant,
        owned_keys: OwnedKeys,
    ) -> Result<Arc<Said>, Refused> {
        let policies = match snapshot.map_or(self.load_mode, |snapshot| snapshot.load_mode) {
            LoadMode::Lenient => &self.policies.lenient,
            LoadMode::Strict => &self.policies.strict,
        };
        let message = Kept::from(message);
        let mut question = Question::default();
        let wishes = question::kept(&message, policies, &mut question)?;
        // Looked at where it is: it is large, and moving it costs as much as reading it.
        let parsed = question.parse(now, owned_keys);
        let request = match &parsed {
            Ok(request) => request,
            Err(violations) => return Err(Refused::Malformed(violations.clone())),
        };
        let snapshot = snapshot.ok_or(Refused::NotReady)?;
        wishes.met_by(snapshot.generation)?;
        Ok(said(&snapshot.policy_set.authorize(request), wishes.detail, snapshot))
    }

    pub(crate) async fn ready(&self, timeout: Duration) -> Result<(), LoadError> {
        let mut status = self.store.subscribe_status();
        let judged = status.wait_for(|status| status.generation > 0 || status.rejection.is_some());
        let judged = match tokio::time::timeout(timeout, judged).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(_)) | Err(_) => return Err(LoadError::Timeout(timeout)),
        };
        match &judged.rejection {
            Some(rejection) if judged.generation == 0 => {
                Err(LoadError::Rejected(Box::new(rejection.clone())))
            }
            _ => Ok(()),
        }
    }
}

/// The one place where a decision of the engine becomes an answer.
fn said(decision: &engine::Decision<'_>, detail: Detail, snapshot: &Snapshot) -> Arc<Said> {
    let reason = reason(decision.reason);
    Arc::new(Said {
        allowed: decision.effect == Effect::Allow && reason == Reason::Allowed,
        reason,
        layer: layer(decision.layer),
        message: Message::OfEngine(decision.reason, decision.layer),
        statements: match detail {
            Detail::None => Vec::new(),
            Detail::Statements | Detail::Trace => decision.statements.iter().map(statement).collect(),
        },
        missing_context_keys: decision.missing_context_keys.iter().map(|&key| key.to_owned()).collect(),
        depends_on_time: decision.depends_on_time,
        revision: Arc::clone(&snapshot.revision_text),
        generation: snapshot.generation,
        request_id: String::new(),
    })
}

fn reason(reason: engine::Reason) -> Reason {
    match reason {
        engine::Reason::Allowed => Reason::Allowed,
        engine::Reason::ExplicitDeny => Reason::ExplicitDeny,
        engine::Reason::ImplicitDeny => Reason::ImplicitDeny,
        engine::Reason::EvaluationLimit => Reason::EvaluationLimit,
    }
}

fn layer(layer: engine::Layer) -> Layer {
    match layer {
        engine::Layer::Identity => Layer::Identity,
        engine::Layer::Resource => Layer::Resource,
        engine::Layer::Boundary => Layer::Boundary,
        engine::Layer::Session => Layer::Session,
        engine::Layer::Scp => Layer::Scp,
        engine::Layer::Rcp => Layer::Rcp,
        engine::Layer::Endpoint => Layer::Endpoint,
        engine::Layer::Trust => Layer::Trust,
    }
}

fn statement(statement: &engine::StatementRef<'_>) -> Statement {
    let engine::StatementRef { policy_id, sid, index, file, line, column, layer: found_in } = *statement;
    Statement {
        policy_id: policy_id.to_owned(),
        sid: sid.to_owned(),
        index,
        file: file.to_owned(),
        line,
        column,
        layer: layer(found_in),
    }
}

fn error(refused: Refused) -> Error {
    Error::Refused {
        code: refused.code().into(),
        reason: refused.reason().to_owned(),
        message: refused.message(),
        violations: refused
            .into_violations()
            .into_iter()
            .map(|engine::Violation { field, description }| Violation { field, description })
            .collect(),
    }
}

/// The engine's words for an answer that it gave here. They need who asked what of what, and nothing else of the question.
pub(crate) fn worded(answer: &Answer, reason: engine::Reason, layer: engine::Layer) -> String {
    let input = RequestInput {
        principal: answer.request.principal(),
        action: answer.request.action(),
        resource: answer.request.resource(),
        resource_account: None,
        context: &[],
        session: None,
        now: Instant::new(0, 0),
        owned_keys: OwnedKeys::Refuse,
    };
    let decision = engine::Decision {
        effect: if answer.said.allowed { Effect::Allow } else { Effect::Deny },
        reason,
        layer,
        statements: Default::default(),
        principal: None,
        missing_context_keys: Default::default(),
        depends_on_time: false,
    };
    // A question that has been answered is well formed.
    engine::Request::parse(input).map(|request| decision.message(&request)).unwrap_or_default()
}
