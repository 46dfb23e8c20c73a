//! A question as it was sent -> the engine's request. Every violation of a question is found here or in `Request::parse`.
//!
//! `message` is a question as it was sent, whether prost read it or `bytes` did; from there on there is one way.

use std::sync::Arc;

use portcullis_engine as engine;
use portcullis_engine::limit;
use portcullis_engine::{
    ContextValue, Decimal, Instant, OwnedKeys, RequestInput, SessionPolicies, Violation,
};
use portcullis_proto::v1;
use smallvec::SmallVec;

use crate::message::{BatchMessage, Kept, Message, Sent, SentSession, Value};
use crate::refused::Refused;
use crate::session_policy::SessionPolicyCache;

/// How much an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// The decision alone.
    None,
    /// The statements that decided.
    Statements,
    /// The whole walk.
    Trace,
}

/// A question out of its message: borrowed texts, session policies compiled.
#[derive(Debug, Default)]
pub struct Question<'m> {
    principal: &'m str,
    action: &'m str,
    resource: &'m str,
    resource_account: Option<&'m str>,
    context: Context<'m>,
    session: Option<QuestionSession<'m>>,
}

/// More pairs than most questions have, without an allocation.
type Context<'m> = SmallVec<[(&'m str, ContextValue<'m>); 8]>;

#[derive(Debug, Clone)]
struct QuestionSession<'m> {
    policies: Option<Arc<SessionPolicies>>,
    policy_arns: &'m [String],
    tags: &'m [(&'m str, &'m str)],
    issued_at: Option<Instant>,
    mfa_authenticated_at: Option<Instant>,
    source_identity: Option<&'m str>,
    federated_provider: Option<&'m str>,
    issuer: Option<&'m str>,
}

/// What a question asks for beside its own content.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// The oldest generation that may answer.
    pub min_generation: u64,
    /// How much the answer is to tell.
    pub detail: Detail,
}

impl Wishes {
    /// Refuses an answer from an older generation than the one asked for.
    ///
    /// # Errors
    /// When the active generation is older.
    pub fn met_by(self, active: u64) -> Result<(), Refused> {
        let asked = self.min_generation;
        if active < asked { Err(Refused::Generation { asked, active }) } else { Ok(()) }
    }
}

/// Decodes one question.
///
/// # Errors
/// Everything that is wrong with it, as far as it can be told without its principal, action and resource.
pub fn authorize<'m>(
    message: &'m Message<'_>,
    policies: &SessionPolicyCache,
) -> Result<(Question<'m>, Wishes), Refused> {
    let Message { principal, action, resource, resource_account, context, session, min_generation, detail } =
        message;
    let mut wrong = Vec::new();
    let detail = decode_detail(*detail, &mut wrong);
    let question = Question {
        principal,
        action,
        resource,
        resource_account: present(resource_account),
        context: decode_context(pairs(context), context.len(), &mut wrong),
        session: session.as_deref().map(|session| decode_session(session.sent(), policies, &mut wrong)),
    };
    let wishes = Wishes { min_generation: *min_generation, detail };
    if wrong.is_empty() { Ok((question, wishes)) } else { Err(Refused::Malformed(wrong)) }
}

/// Decodes one question that is kept as prost has it into one that is empty: a question is large, and moving it costs as
/// much as reading it.
///
/// # Errors
/// As [`authorize`].
#[inline]
pub fn kept<'m>(
    kept: &'m Kept<'_>,
    policies: &SessionPolicyCache,
    question: &mut Question<'m>,
) -> Result<Wishes, Refused> {
    let v1::AuthorizeRequest {
        principal,
        action,
        resource,
        context,
        resource_account,
        session: _,
        min_generation,
        detail,
    } = kept.message;
    let mut wrong = Vec::new();
    let detail = decode_detail(*detail, &mut wrong);
    (question.principal, question.action, question.resource) = (principal, action, resource);
    question.resource_account = present(resource_account);
    let pairs = context.iter().map(|(key, value)| (key.as_str(), Sent::from(value)));
    fill(&mut question.context, pairs, context.len(), &mut wrong);
    question.session = kept.session().map(|session| decode_session(session, policies, &mut wrong));
    let wishes = Wishes { min_generation: *min_generation, detail };
    if wrong.is_empty() { Ok(wishes) } else { Err(Refused::Malformed(wrong)) }
}

/// A batch, and what its items share, read once for all of them.
#[derive(Debug)]
pub struct Batch<'m, 'b> {
    message: &'m BatchMessage<'b>,
    wishes: Wishes,
    session: Option<Result<QuestionSession<'m>, Vec<Violation>>>,
}

/// Decodes what is common to a batch; its items are decoded one by one, because each fails alone.
///
/// # Errors
/// Everything that is wrong with it. A session that cannot be used is the fault of the items that use it.
pub fn batch<'m, 'b>(
    message: &'m BatchMessage<'b>,
    items_max: usize,
    policies: &SessionPolicyCache,
) -> Result<Batch<'m, 'b>, Refused> {
    let BatchMessage { principal: _, session, context: _, items, min_generation, detail } = message;
    let mut wrong = Vec::new();
    let detail = decode_detail(*detail, &mut wrong);
    if items.len() > items_max {
        let description = format!("has {} items, more than the {items_max} of one batch", items.len());
        wrong.push(Violation { field: "items".to_owned(), description });
    }
    if !wrong.is_empty() {
        return Err(Refused::Malformed(wrong));
    }
    let session = session.as_deref().map(|session| {
        let session = decode_session(session.sent(), policies, &mut wrong);
        if wrong.is_empty() { Ok(session) } else { Err(wrong) }
    });
    Ok(Batch { message, wishes: Wishes { min_generation: *min_generation, detail }, session })
}

impl<'m, 'b> Batch<'m, 'b> {
    /// What it asks for beside its items.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        self.wishes
    }

    /// Decodes one item.
    ///
    /// # Errors
    /// As [`authorize`].
    pub fn item(
        &self,
        item: &'m Message<'b>,
        policies: &SessionPolicyCache,
    ) -> Result<Question<'m>, Refused> {
        let Message {
            principal,
            action,
            resource,
            resource_account,
            context,
            session,
            min_generation: _,
            detail: _,
        } = item;
        let (shared, mut wrong) = (&self.message.context, Vec::new());
        // More keys than a question may have are refused by their number, and not compared with each other first.
        let too_many = shared.len().max(context.len()) > limit::CONTEXT_KEYS_MAX;
        let inherited = pairs(shared)
            .filter(|(key, _)| too_many || !context.iter().any(|(own, _)| own.eq_ignore_ascii_case(key)));
        let session = match (session.as_deref(), &self.session) {
            (Some(own), _) => Some(decode_session(own.sent(), policies, &mut wrong)),
            (None, Some(Ok(shared))) => Some(shared.clone()),
            (None, Some(Err(violations))) => {
                wrong.extend_from_slice(violations);
                None
            }
            (None, None) => None,
        };
        let question = Question {
            principal: present(principal).unwrap_or(self.message.principal),
            action,
            resource,
            resource_account: present(resource_account),
            context: decode_context(
                inherited.chain(pairs(context)),
                shared.len() + context.len(),
                &mut wrong,
            ),
            session,
        };
        if wrong.is_empty() { Ok(question) } else { Err(Refused::Malformed(wrong)) }
    }
}

impl Question<'_> {
    /// The tags' storage for [`Question::check`].
    fn engine_session(&self) -> Option<engine::Session<'_>> {
        let QuestionSession {
            policies,
            policy_arns,
            tags,
            issued_at,
            mfa_authenticated_at,
            source_identity,
            federated_provider,
            issuer,
        } = self.session.as_ref()?;
        Some(engine::Session {
            policies: policies.as_deref(),
            policy_arns,
            tags,
            issued_at: *issued_at,
            mfa_authenticated_at: *mfa_authenticated_at,
            source_identity: *source_identity,
            federated_provider: *federated_provider,
            issuer: *issuer,
        })
    }

    /// The engine's request at one clock reading.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, now: Instant, owned_keys: OwnedKeys) -> Result<engine::Request<'_>, Refused> {
        self.parse(now, owned_keys).map_err(Refused::Malformed)
    }

    /// The same without moving the request, which is large, from one result into another.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    #[inline]
    pub fn parse(&self, now: Instant, owned_keys: OwnedKeys) -> Result<engine::Request<'_>, Vec<Violation>> {
        let input = RequestInput {
            principal: self.principal,
            action: self.action,
            resource: self.resource,
            resource_account: self.resource_account,
            context: &self.context,
            session: self.engine_session(),
            now,
            owned_keys,
        };
        engine::Request::parse(input)
    }
}

/// A wire time as an instant.
///
/// # Errors
/// When it is not between the years 1 and 9999; `field` names it.
pub fn instant(field: &str, time: &prost_types::Timestamp) -> Result<Instant, Violation> {
    /// The first second of the year 1 and the last of the year 9999, as protobuf has them.
    const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let prost_types::Timestamp { seconds, nanos } = *time;
    match u32::try_from(nanos) {
        Ok(nanos) if nanos < 1_000_000_000 && SECONDS.contains(&seconds) => Ok(Instant::new(seconds, nanos)),
        _ => Err(Violation {
            field: field.to_owned(),
            description: "is not a time between the years 1 and 9999".to_owned(),
        }),
    }
}

fn decode_detail(number: i32, wrong: &mut Vec<Violation>) -> Detail {
    match v1::Detail::try_from(number) {
        Ok(v1::Detail::Unspecified | v1::Detail::None) => Detail::None,
        Ok(v1::Detail::Statements) => Detail::Statements,
        Ok(v1::Detail::Trace) => Detail::Trace,
        Err(_) => {
            let description = format!("has no value {number}");
            wrong.push(Violation { field: "detail".to_owned(), description });
            Detail::None
        }
    }
}

fn pairs<'m>(context: &'m [(&'m str, Value<'m>)]) -> impl Iterator<Item = (&'m str, Sent<'m>)> {
    context.iter().map(|(key, value)| (*key, Sent::from(value)))
}

#[inline]
fn decode_context<'m>(
    entries: impl Iterator<Item = (&'m str, Sent<'m>)>,
    count: usize,
    wrong: &mut Vec<Violation>,
) -> Context<'m> {
    let mut context = Context::new();
    fill(&mut context, entries, count, wrong);
    context
}

#[inline]
fn fill<'m>(
    context: &mut Context<'m>,
    entries: impl Iterator<Item = (&'m str, Sent<'m>)>,
    count: usize,
    wrong: &mut Vec<Violation>,
) {
    // One more than a question may have is enough for it to be refused by their number.
    let most = limit::CONTEXT_KEYS_MAX + 1;
    // A filter promises no length, and growing step by step costs more than all the rest here.
    context.reserve(count.min(most));
    for (key, value) in entries.take(most) {
        if let Some(pair) = entry(key, value, wrong) {
            context.push(pair);
        }
    }
}

#[inline]
fn entry<'m>(
    key: &'m str,
    value: Sent<'m>,
    wrong: &mut Vec<Violation>,
) -> Option<(&'m str, ContextValue<'m>)> {
    let mut refuse = |description: &str| {
        wrong.push(Violation { field: format!("context[\"{key}\"]"), description: description.to_owned() });
        None
    };
    let decoded = match value {
        Sent::Missing => return refuse("has no value: set one of text, list, boolean or number"),
        Sent::Text(text) => ContextValue::Text(text),
        Sent::List(values) => ContextValue::List(values),
        Sent::Boolean(boolean) => ContextValue::Bool(boolean),
        // C-14: what no numeric condition can read would silently switch off a Deny.
        Sent::Number(number) if Decimal::parse(number).is_some() => ContextValue::Text(number),
        Sent::Number(_) => return refuse("must be a decimal number, without an exponent"),
    };
    Some((key, decoded))
}

fn decode_session<'m>(
    session: SentSession<'m, impl ExactSizeIterator<Item = &'m str>>,
    cache: &SessionPolicyCache,
    wrong: &mut Vec<Violation>,
) -> QuestionSession<'m> {
    let SentSession {
        policies,
        policy_arns,
        tags,
        transitive_tag_keys,
        issued_at,
        mfa_authenticated_at,
        source_identity,
        federated_provider,
        issuer,
    } = session;
    // Whether a tag passes on matters to the next session, not to a decision in this one.
    if transitive_tag_keys.len() > limit::SESSION_TAGS_MAX {
        let description = format!("has more than {} entries", limit::SESSION_TAGS_MAX);
        wrong.push(Violation { field: "session.transitive_tag_keys".to_owned(), description });
    }
    for key in transitive_tag_keys.take(limit::SESSION_TAGS_MAX) {
        // Too many tags are refused by their number.
        if tags.len() <= limit::SESSION_TAGS_MAX && !tags.iter().any(|(tag, _)| tag.eq_ignore_ascii_case(key))
        {
            let description = format!("`{key}` is not the key of a session tag");
            wrong.push(Violation { field: "session.transitive_tag_keys".to_owned(), description });
        }
    }
    let mut time = |field: &str, time: Option<&prost_types::Timestamp>| {
        time.and_then(|time| instant(field, time).map_err(|violation| wrong.push(violation)).ok())
    };
    let issued_at = time("session.issued_at", issued_at);
    let mfa_authenticated_at = time("session.mfa_authenticated_at", mfa_authenticated_at);
    let policies = match cache.compiled(policies) {
        Ok(policies) => policies,
        Err(violations) => {
            wrong.extend(violations);
            None
        }
    };
    QuestionSession {
        policies,
        policy_arns,
        tags,
        issued_at,
        mfa_authenticated_at,
        source_identity: present(source_identity),
        federated_provider: present(federated_provider),
        issuer: present(issuer),
    }
}

fn present(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

#[cfg(test)]
mod tests;
