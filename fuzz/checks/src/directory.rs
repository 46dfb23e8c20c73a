//! Any bytes as a policy directory file or a session policy: findings or a policy set, and never both or neither.

use portcullis_engine::diagnostic::Severity;
use portcullis_engine::{
    ContextValue, Diagnostic, Instant, LoadMode, OwnedKeys, PolicySet, PolicySetBuilder, Request,
    RequestInput, Session, SessionPolicies,
};

use crate::place;

pub(crate) const WORDS: &[&str] = &[
    "\"UserDetailList\":[",
    "\"RoleDetailList\":[",
    "\"GroupDetailList\":[",
    "\"Policies\":[",
    "\"ResourceDetailList\":[",
    "\"Organization\":{",
    "\"Version\":\"2012-10-17\"",
    "\"Version\":\"2008-10-17\"",
    "\"Effect\":\"Allow\"",
    "\"Effect\":\"Deny\"",
    "\"Principal\":\"*\"",
    "\"NotPrincipal\":{\"AWS\":\"111111111111\"}",
    "\"NotAction\":\"s3:*\"",
    "\"NotResource\":\"*\"",
    "\"Condition\":{\"ForAllValues:StringLike\":{\"aws:TagKeys\":[\"a*\"]}}",
    "IfExists",
    "ForAnyValue:",
    "\"Sid\":\"a\"",
    "${aws:username}",
    "${aws:PrincipalTag/x, 'y'}",
    "${*}",
    "${",
    "}",
    "arn:aws:iam::",
    "111111111111",
    "\\u0000",
    "{",
    "[",
    "]",
    "},{",
    ",",
    "null",
    "\"DateLessThan\":{\"aws:CurrentTime\":\"2026-01-31\"}",
    "\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}",
    "\"Null\":{\"aws:SourceIp\":true}",
];

fn statement(body: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"{body}}}]}}"#
    )
}

fn policy(document: &str) -> Vec<u8> {
    format!(
        r#"{{"Policies":[{{"PolicyName":"p","Arn":"arn:aws:iam::111111111111:policy/p","PolicyDocument":{document}}}]}}"#
    )
    .into_bytes()
}

/// Documents that cost much for their length.
fn slow_documents() -> Vec<String> {
    let condition = |value: &str| {
        statement(&format!(r#","Condition":{{"StringLike":{{"aws:PrincipalTag/x":{value}}}}}"#))
    };
    let list = |item: &dyn Fn(usize) -> String, count: usize| {
        let items: Vec<_> = (0..count).map(|at| format!("\"{}\"", item(at))).collect();
        format!("[{}]", items.join(","))
    };
    let long = 1 << 18;
    vec![
        condition(&format!("\"{}\"", "${".repeat(long))),
        condition(&format!("\"{}}}\"", "${".repeat(long))),
        condition(&format!("\"{}\"", "${a}".repeat(long / 2))),
        condition(&format!("\"{}\"", "*a".repeat(long))),
        condition(&format!("\"{}\"", "?*".repeat(long))),
        condition(&format!("\"{}\"", "${*}".repeat(long / 2))),
        condition(&format!("\"{}\"", "${a, 'b'}".repeat(long / 4))),
        condition(&list(&|at| format!("value{at}"), 50_000)),
        condition(&list(&|_| "same".to_owned(), 50_000)),
        statement(&format!(r#","Sid":"{}""#, "s".repeat(long))),
        statement(&format!(r#","Action":{}"#, list(&|at| format!("s3:Get*{at}"), 50_000))),
        format!(
            r#"{{"Statement":{{"Effect":"Allow","Resource":"*","Action":{}}}}}"#,
            list(&|at| format!("s3:G{at}*"), 50_000)
        ),
        format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"s3:*","Resource":{}}}}}"#,
            list(&|at| format!("arn:aws:s3:::b{at}/*/x"), 50_000)
        ),
        format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{{"StringEquals":{{{}}}}}}}}}"#,
            (0..20_000).map(|at| format!("\"k:{at}\":\"v\"")).collect::<Vec<_>>().join(",")
        ),
        format!(
            r#"{{"Statement":[{}]}}"#,
            (0..10_000)
                .map(|at| format!(r#"{{"Sid":"s{at}","Effect":"Allow","Action":"s3:*","Resource":"*"}}"#))
                .collect::<Vec<_>>()
                .join(",")
        ),
        format!(
            r#"{{"Statement":[{}]}}"#,
            (0..10_000).map(|_| r#"{"Sid":"s","Efect":"Allow"}"#.to_owned()).collect::<Vec<_>>().join(",")
        ),
    ]
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = slow_documents().iter().map(|document| policy(document)).collect();
    let users: Vec<_> = (0..20_000)
        .map(|at| format!(r#"{{"UserName":"u","Arn":"arn:aws:iam::111111111111:user/u{}"}}"#, at % 7_000))
        .collect();
    all.push(format!(r#"{{"UserDetailList":[{}]}}"#, users.join(",")).into_bytes());
    let resources: Vec<_> =
        (0..20_000).map(|at| format!(r#"{{"Resource":"arn:aws:s3:::b{at}*"}}"#)).collect();
    all.push(format!(r#"{{"ResourceDetailList":[{}]}}"#, resources.join(",")).into_bytes());
    let mut unit = r#"{"Id":"ou-a"}"#.to_owned();
    for _ in 0..200 {
        unit = format!(r#"{{"Id":"ou-a","OrganizationalUnits":[{unit}]}}"#);
    }
    all.push(format!(r#"{{"Organization":{{"Id":"o-a","Root":{unit}}}}}"#).into_bytes());
    all.extend(crate::json::hostile());
    all
}

pub(crate) fn hostile_documents() -> Vec<Vec<u8>> {
    slow_documents().into_iter().map(String::into_bytes).collect()
}

fn has_error(findings: &[Diagnostic]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

/// Up to here findings are looked at one by one.
const LOOKED_BYTES_MAX: usize = 32 << 10;

pub(crate) fn check(bytes: &[u8]) {
    let strict = load(bytes, LoadMode::Strict);
    let lenient = load(bytes, LoadMode::Lenient);
    assert!(strict.is_none() || lenient.is_some(), "a strict load takes what a lenient one refuses");
    for set in [strict, lenient].iter().flatten() {
        ask(set, None);
    }
}

fn load(bytes: &[u8], mode: LoadMode) -> Option<PolicySet> {
    let mut builder = PolicySetBuilder::new(mode);
    builder.add("a.json", bytes.to_vec());
    let loaded = builder.finish();
    assert_eq!(loaded.policy_set.is_none(), has_error(&loaded.diagnostics), "{:?}", loaded.diagnostics);
    if bytes.len() <= LOOKED_BYTES_MAX
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        loaded.diagnostics.iter().for_each(|finding| place::check(text, finding));
    }
    loaded.policy_set
}

/// Questions that a policy set of the corpus often has an opinion about; each answered in both ways.
fn ask(set: &PolicySet, session: Option<&SessionPolicies>) {
    let tag_keys = ["x".to_owned(), "y".to_owned()];
    let context = [
        ("aws:SourceIp", ContextValue::Text("10.1.2.3")),
        ("aws:TagKeys", ContextValue::List(&tag_keys)),
        ("aws:SecureTransport", ContextValue::Bool(true)),
        ("s3:prefix", ContextValue::Text("home/${aws:username}/*")),
    ];
    let users = [
        "arn:aws:iam::111111111111:user/alice",
        "arn:aws:iam::123456789012:user/customers/anna",
        "arn:aws:sts::111111111111:assumed-role/app/s",
    ];
    for principal in users {
        let of_role = principal.contains("assumed-role");
        if session.is_some() && !of_role {
            continue;
        }
        for (action, resource) in [
            ("s3:GetObject", "arn:aws:s3:::b/k"),
            ("s3:ListBucket", "arn:aws:s3:::b"),
            ("sts:AssumeRole", "arn:aws:iam::111111111111:role/app"),
            ("orders:GetOrder", "*"),
        ] {
            let input = RequestInput {
                principal,
                action,
                resource,
                resource_account: Some("111111111111"),
                context: &context,
                session: of_role.then(|| Session { policies: session, ..Session::default() }),
                now: Instant::new(1_770_000_000, 0),
                owned_keys: OwnedKeys::Refuse,
            };
            let request = Request::parse(input).expect("a well-formed question");
            crate::request::answered(set, &request);
        }
    }
}

/// Session policies, several between NUL bytes.
pub(crate) fn check_session(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let documents: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let mut accepted = [false; 2];
    for (at, mode) in [LoadMode::Strict, LoadMode::Lenient].into_iter().enumerate() {
        match SessionPolicies::compile(&documents, mode) {
            Ok(policies) => {
                accepted[at] = true;
                ask(role_of_all(), Some(&policies));
            }
            Err(findings) => {
                assert!(has_error(&findings), "refused without an error");
                if let [one] = documents.as_slice()
                    && one.len() <= LOOKED_BYTES_MAX
                {
                    findings.iter().for_each(|finding| place::check(one, finding));
                }
            }
        }
    }
    assert!(!accepted[0] || accepted[1], "a strict load takes what a lenient one refuses");
}

/// A role that may do everything, so that what the session allows is what is allowed.
fn role_of_all() -> &'static PolicySet {
    static SET: std::sync::OnceLock<PolicySet> = std::sync::OnceLock::new();
    SET.get_or_init(|| {
        let role = r#"{"RoleDetailList":[{"RoleName":"app","Arn":"arn:aws:iam::111111111111:role/app",
            "AssumeRolePolicyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
                "Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}]},
            "RolePolicyList":[{"PolicyName":"all","PolicyDocument":{"Version":"2012-10-17",
                "Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}]}]}"#;
        let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
        builder.add("role.json", role.into());
        let loaded = builder.finish();
        loaded.policy_set.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
    })
}
