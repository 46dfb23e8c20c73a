//! Any texts as a question: refused with a field and a sentence, or answered the same by both ways of answering.

use std::sync::OnceLock;

use portcullis_engine::{
    ContextValue, Decision, Effect, Instant, LoadMode, OwnedKeys, PolicySet, PolicySetBuilder, Reason,
    Request, RequestInput, Session, SessionPolicies,
};
use serde_json::Value;

use crate::seed;

pub(crate) const WORDS: &[&str] = &[
    "arn:aws:iam::111111111111:user/alice",
    "arn:aws:sts::111111111111:assumed-role/",
    "arn:aws:iam::111111111111:root",
    "arn:aws:sts::111111111111:federated-user/",
    "arn:aws-cn:",
    "anonymous",
    "ec2.amazonaws.com",
    "*",
    "?",
    ":",
    "/",
    "s3:GetObject",
    "S3:getobject",
    "sts:AssumeRole",
    "sts:TagSession",
    "arn:aws:s3:::b/k",
    "${aws:username}",
    "aws:SourceIp",
    "aws:CurrentTime",
    "aws:PrincipalTag/team",
    "aws:RequestTag/",
    "aws:TagKeys",
    "\nS",
    "\ng",
    "\u{2}",
    "\nt",
    "\nl",
    "\nb",
    "\np",
    "\ni",
    "\nf",
    "\ns",
    "\nP",
    "\u{e9}",
    "\u{130}",
    "111111111111",
    "true",
    "2026-01-31T12:00:00Z",
    "\no",
];

/// Between parts of a line.
const PART: char = '\u{2}';

/// Policy sets of all cases, and last one of slow patterns.
fn sets() -> &'static [PolicySet] {
    static SETS: OnceLock<Vec<PolicySet>> = OnceLock::new();
    SETS.get_or_init(|| {
        let policies = seed::cases().iter().filter_map(|case| case.get("Policies")).map(Value::to_string);
        let mut sets: Vec<_> =
            seed::distinct(policies.map(String::into_bytes)).into_iter().filter_map(built).collect();
        sets.extend(built(slow_patterns()));
        assert!(sets.len() > 100, "the corpus has policies");
        sets
    })
}

fn built(source: Vec<u8>) -> Option<PolicySet> {
    let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
    builder.add("a.json", source);
    builder.finish().policy_set
}

fn slow_patterns() -> Vec<u8> {
    let resources: Vec<_> =
        (0..400).map(|at| format!("\"arn:aws:s3:::*{}?b{at}*\"", "a?a*".repeat(1 + at % 30))).collect();
    format!(
        r#"{{"UserDetailList":[{{"UserName":"alice","Arn":"arn:aws:iam::111111111111:user/alice","UserPolicyList":[
            {{"PolicyName":"slow","PolicyDocument":{{"Version":"2012-10-17","Statement":[
                {{"Effect":"Allow","Action":"s3:*","Resource":[{}]}}]}}}}]}}]}}"#,
        resources.join(",")
    )
    .into_bytes()
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let long = "a".repeat(2_000);
    let context: String = (0..256).map(|at| format!("\nlk{at}{PART}v{PART}w")).collect();
    let tags: String = (0..60).map(|at| format!("\ng{at}{PART}v")).collect();
    let alice = "arn:aws:iam::111111111111:user/alice";
    [
        format!("last\n{alice}\ns3:GetObject\narn:aws:s3:::{long}\n\n"),
        format!("last\n{alice}\ns3:GetObject\narn:aws:s3:::{}\n\n", "\u{e9}a".repeat(1_000)),
        format!("last\n{alice}\ns3:{}\narn:aws:s3:::b\n\n", "G".repeat(1 << 16)),
        format!("last\n{alice}\ns3:GetObject\narn:aws:s3:::b\n\n{context}"),
        format!(
            "last\narn:aws:sts::111111111111:assumed-role/r/s\ns3:GetObject\narn:aws:s3:::b\n\n\nS{tags}"
        ),
        format!("0\n{}\ns3:GetObject\n{}\n\n", "p".repeat(1 << 16), ":".repeat(1 << 16)),
    ]
    .map(String::into_bytes)
    .into()
}

/// The cases' own questions, each with its own policies.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let policies = seed::cases().iter().filter_map(|case| case.get("Policies")).map(Value::to_string);
    let order = seed::distinct(policies.map(String::into_bytes));
    let built: Vec<_> = order.into_iter().filter(|source| built(source.clone()).is_some()).collect();
    let mut seeds = Vec::new();
    for case in seed::cases() {
        let Some(request) = case.get("Request") else { continue };
        let own = case.get("Policies").map(|policies| policies.to_string().into_bytes());
        let set = own.and_then(|own| built.iter().position(|source| *source == own)).unwrap_or(0);
        seeds.push(line(set, request).into_bytes());
    }
    seeds
}

fn line(set: usize, request: &Value) -> String {
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let mut out = format!("{set}");
    for member in ["Principal", "Action", "Resource", "ResourceAccount"] {
        out.push('\n');
        out.push_str(&text(request.get(member)));
    }
    for (key, value) in request.get("Context").and_then(Value::as_object).into_iter().flatten() {
        match value {
            Value::Array(values) => {
                out.push_str(&format!("\nl{key}"));
                values.iter().for_each(|value| out.push_str(&format!("{PART}{}", text(Some(value)))));
            }
            Value::Bool(value) => out.push_str(&format!("\nb{key}{PART}{value}")),
            value => out.push_str(&format!("\nt{key}{PART}{}", text(Some(value)))),
        }
    }
    if let Some(session) = request.get("Session") {
        out.push_str("\nS");
        for (key, value) in session.get("Tags").and_then(Value::as_object).into_iter().flatten() {
            out.push_str(&format!("\ng{key}{PART}{}", text(Some(value))));
        }
        for (member, letter) in [("PolicyArns", 'p'), ("Policies", 'P')] {
            for value in session.get(member).and_then(Value::as_array).into_iter().flatten() {
                out.push_str(&format!("\n{letter}{}", text(Some(value))));
            }
        }
        for (member, letter) in [("Issuer", 'i'), ("FederatedProvider", 'f'), ("SourceIdentity", 's')] {
            if let Some(value) = session.get(member) {
                out.push_str(&format!("\n{letter}{}", text(Some(value))));
            }
        }
    }
    out
}

/// Set, principal, action, resource, account; then a letter a line for the rest.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let number = lines.next().unwrap_or_default();
    let set = match number.parse::<usize>() {
        Ok(number) => &sets()[number % sets().len()],
        Err(_) => sets().last().expect("a set"),
    };
    let mut field = || lines.next().unwrap_or_default();
    let (principal, action, resource, account) = (field(), field(), field(), field());
    let mut owned_keys = OwnedKeys::Refuse;
    let mut lists: Vec<(&str, Vec<String>)> = Vec::new();
    let mut context: Vec<(&str, ContextValue<'_>)> = Vec::new();
    let (mut documents, mut arns, mut tags) = (Vec::new(), Vec::new(), Vec::new());
    let mut session = None;
    for line in lines {
        let mut characters = line.chars();
        let letter = characters.next().unwrap_or(' ');
        let rest = characters.as_str();
        let (key, value) = rest.split_once(PART).unwrap_or((rest, ""));
        match letter {
            'o' => owned_keys = OwnedKeys::Override,
            't' => context.push((key, ContextValue::Text(value))),
            'b' => context.push((key, ContextValue::Bool(value == "true"))),
            'l' => {
                let (key, values) = rest.split_once(PART).unwrap_or((rest, ""));
                let values = if rest.contains(PART) {
                    values.split(PART).map(str::to_owned).collect()
                } else {
                    vec![]
                };
                lists.push((key, values));
            }
            'g' => tags.push((key, value)),
            'p' => arns.push(rest.to_owned()),
            'P' => documents.push(rest.to_owned()),
            'S' => session = Some(session.unwrap_or_default()),
            'i' => session.get_or_insert_with(Session::default).issuer = Some(rest),
            'f' => session.get_or_insert_with(Session::default).federated_provider = Some(rest),
            's' => session.get_or_insert_with(Session::default).source_identity = Some(rest),
            'm' => {
                session.get_or_insert_with(Session::default).mfa_authenticated_at = Some(Instant::new(1, 0))
            }
            'a' => session.get_or_insert_with(Session::default).issued_at = Instant::parse(rest),
            _ => {}
        }
    }
    context.extend(lists.iter().map(|(key, values)| (*key, ContextValue::List(values))));
    let policies = match SessionPolicies::compile(&documents, LoadMode::Lenient) {
        _ if documents.is_empty() => None,
        Ok(policies) => Some(policies),
        Err(_) => return,
    };
    if let Some(session) = &mut session {
        session.policies = policies.as_ref();
        session.policy_arns = &arns;
        session.tags = &tags;
    }
    let input = RequestInput {
        principal,
        action,
        resource,
        resource_account: (!account.is_empty()).then_some(account),
        context: &context,
        session,
        now: Instant::new(1_770_000_000, 0),
        owned_keys,
    };
    match Request::parse(input) {
        Ok(request) => drop(answered(set, &request)),
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason");
            for violation in &violations {
                assert!(!violation.field.is_empty() && !violation.description.is_empty(), "{violation:?}");
            }
        }
    }
}

/// The answer; the explanation has the same, and asking again changes nothing.
pub(crate) fn answered<'a>(set: &'a PolicySet, request: &'a Request<'a>) -> Decision<'a> {
    let decision = set.authorize(request);
    let explanation = set.explain(request);
    assert_eq!(explanation.decision, decision, "{:?}", request.input());
    assert_eq!(set.authorize(request), decision, "{:?}", request.input());
    assert_eq!(decision.effect == Effect::Allow, decision.reason == Reason::Allowed);
    if decision.reason == Reason::ExplicitDeny {
        assert!(
            !decision.statements.is_empty(),
            "an explicit deny without its statement: {:?}",
            request.input()
        );
    }
    if decision.effect == Effect::Allow {
        assert!(decision.missing_context_keys.is_empty());
    }
    assert_eq!(decision.message(request), decision.message_parts(request).concat());
    let keys = set.context_keys(request);
    let known: std::collections::HashSet<_> = keys.iter().map(|key| key.to_ascii_lowercase()).collect();
    let missing = &decision.missing_context_keys;
    assert!(missing.iter().all(|key| known.contains(&key.to_ascii_lowercase())), "{missing:?} of {keys:?}");
    decision
}
