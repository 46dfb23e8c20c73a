//! Tests of the policy grammar: a table of documents and what is found in them, in both modes.

use super::condition::plain_decimal;
use super::*;
use crate::diagnostic::Severity;
use crate::policy::PrincipalEntry;

/// The codes found, errors first with their severity's initial.
fn found(source: &str, kind: PolicyType, mode: LoadMode) -> (Vec<(Severity, Code)>, Option<Document>) {
    let text = SourceText::new("a.json".to_owned(), source.to_owned());
    let mut findings = Vec::new();
    let node = crate::json::parse(&text, &mut findings);
    let document = node.and_then(|node| document(&node, kind, mode, &text, &mut findings));
    let codes: Vec<_> = findings.iter().map(|finding| (finding.severity, finding.code)).collect();
    assert!(document.is_some() || codes.iter().any(|(severity, _)| *severity == Severity::Error), "{source}");
    (codes, document)
}

/// A document with one statement.
fn one(statement: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}}}]}}"#)
}

/// Refused in both modes, for exactly this.
fn refused(source: &str, kind: PolicyType, code: Code) {
    for mode in [LoadMode::Strict, LoadMode::Lenient] {
        assert_eq!(found(source, kind, mode).0, [(Severity::Error, code)], "{source} {mode:?}");
    }
}

/// Refused in strict mode, loaded with a warning in lenient mode.
fn tolerated(source: &str, kind: PolicyType, code: Code) -> Document {
    assert_eq!(found(source, kind, LoadMode::Strict).0, [(Severity::Error, code)], "{source}");
    let (codes, document) = found(source, kind, LoadMode::Lenient);
    assert_eq!(codes, [(Severity::Warning, code)], "{source}");
    document.expect("loads")
}

/// Loads in strict mode with at most this.
fn accepted(source: &str, kind: PolicyType, findings: &[(Severity, Code)]) -> Document {
    let (codes, document) = found(source, kind, LoadMode::Strict);
    assert_eq!(codes, findings, "{source}");
    document.expect("loads")
}

#[test]
fn documents_have_their_form() {
    use PolicyType::Inline;
    refused("[]", Inline, Code::DocumentNotObject);
    refused("\"no policy\"", Inline, Code::DocumentNotObject);
    refused(r#"{"Version":"2012-10-17"}"#, Inline, Code::MissingStatement);
    for statement in ["[]", "\"x\"", "null", "[1]"] {
        refused(
            &format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#),
            Inline,
            Code::InvalidStatement,
        );
    }
    let good = r#""Effect":"Allow","Action":"a:b","Resource":"*""#;
    let with = |members: &str| format!(r#"{{{members}"Statement":{{{good}}}}}"#);
    for version in [r#""2012-10-18""#, r#""""#] {
        refused(&with(&format!(r#""Version":{version},"#)), Inline, Code::InvalidVersion);
    }
    refused(&with(r#""Version":2012,"#), Inline, Code::WrongType);
    refused(&with(r#""Version":null,"#), Inline, Code::NullValue);
    refused(&with(r#""Conditions":{},"#), Inline, Code::UnknownElement);
    refused(&with(r#""version":"2012-10-17","#), Inline, Code::UnknownElement);
    assert!(!accepted(&with(""), Inline, &[]).variables);
    tolerated(&with(""), PolicyType::Managed, Code::OldVersion);
    accepted(&with(r#""Id":"x","#), Inline, &[(Severity::Warning, Code::IdNotUsed)]);
    refused(&with(r#""Id":1,"#), Inline, Code::WrongType);
}

#[test]
fn every_problem_is_reported_not_the_first() {
    let source =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"x","Resource":"y"},{"Sid":1}]}"#;
    let codes: Vec<Code> =
        found(source, PolicyType::Inline, LoadMode::Strict).0.iter().map(|one| one.1).collect();
    let expected = [
        Code::InvalidEffect,
        Code::InvalidAction,
        Code::InvalidResource,
        Code::WrongType,
        Code::InvalidEffect,
        Code::MissingAction,
        Code::MissingResource,
    ];
    assert_eq!(codes, expected);
}

#[test]
fn an_unknown_element_gets_a_suggestion() {
    let source = one(r#""Effect":"Allow","Actoin":"a:b","Action":"a:b","Resource":"*""#);
    let text = SourceText::new("a.json".to_owned(), source);
    let mut findings = Vec::new();
    let node = crate::json::parse(&text, &mut findings).expect("parses");
    document(&node, PolicyType::Inline, LoadMode::Lenient, &text, &mut findings);
    let help = findings[0].help.as_deref();
    assert_eq!(help, Some("did you mean `Action`?"));
}

#[test]
fn statements_have_their_elements() {
    use PolicyType::Inline;
    let rest = r#","Action":"a:b","Resource":"*""#;
    for effect in [r#""allow""#, r#""ALLOW""#, r#""""#] {
        refused(&one(&format!(r#""Effect":{effect}{rest}"#)), Inline, Code::InvalidEffect);
    }
    refused(&one(rest.trim_start_matches(',')), Inline, Code::InvalidEffect);
    let allow = |more: &str| one(&format!(r#""Effect":"Allow",{more}"#));
    refused(&allow(r#""Resource":"*""#), Inline, Code::MissingAction);
    refused(&allow(r#""Action":"a:b""#), Inline, Code::MissingResource);
    refused(&allow(r#""Action":"a:b","NotAction":[],"Resource":"*""#), Inline, Code::ConflictingElements);
    refused(&allow(r#""Action":"a:b","Resource":"*","NotResource":"*""#), Inline, Code::ConflictingElements);
    refused(&allow(r#""Action":[],"Resource":"*""#), Inline, Code::EmptyList);
    refused(&allow(r#""Action":"a:b","Resource":[]"#), Inline, Code::EmptyList);
    refused(&allow(r#""Action":{},"Resource":"*""#), Inline, Code::WrongType);
    refused(&allow(r#""Action":["a:b",null],"Resource":"*""#), Inline, Code::NullValue);
    let only_null = allow(r#""Action":"a:b","Resource":[null]"#);
    let codes = found(&only_null, Inline, LoadMode::Lenient).0;
    assert_eq!(codes, [(Severity::Warning, Code::NullValue), (Severity::Error, Code::EmptyList)]);
    let document = tolerated(&allow(r#""Action":"a:b","Resource":["*",null]"#), Inline, Code::NullValue);
    assert_eq!(document.statements[0].resources.as_ref().expect("resources").entries.len(), 1);
    let twice = |sid: &str| {
        let statement = format!(r#"{{"Sid":"{sid}","Effect":"Deny"{rest}}}"#);
        format!(r#"{{"Version":"2012-10-17","Statement":[{statement},{statement}]}}"#)
    };
    refused(&twice("a"), Inline, Code::DuplicateSid);
    accepted(&twice(""), Inline, &[]);
    let spaced = one(&format!(r#""Sid":"a b","Effect":"Deny"{rest}"#));
    tolerated(&spaced, Inline, Code::InvalidSid);
}

#[test]
fn actions_have_their_form() {
    let with = |action: &str| one(&format!(r#""Effect":"Allow","Action":"{action}","Resource":"*""#));
    for action in ["", "x", "**", "a:b:c", ":b"] {
        refused(&with(action), PolicyType::Inline, Code::InvalidAction);
    }
    for action in ["*", "*:*", "a:b", "A.b-1:*x?"] {
        accepted(&with(action), PolicyType::Inline, &[]);
    }
    for action in ["*:Get", "s3*:Get", "?3:x", "a_b:c"] {
        tolerated(&with(action), PolicyType::Inline, Code::ActionVendor);
    }
    let never = [(Severity::Note, Code::ActionNeverMatches)];
    accepted(&with("s3:GetObject,PutObject"), PolicyType::Inline, &never);
    accepted(&with("a:${x}"), PolicyType::Inline, &[(Severity::Warning, Code::VariableInAction)]);
}

#[test]
fn resources_have_their_form() {
    let with = |resource: &str| one(&format!(r#""Effect":"Allow","Action":"a:b","Resource":"{resource}""#));
    for resource in ["", "x", "ARN:aws:s3:::b", "${aws:x}"] {
        refused(&with(resource), PolicyType::Inline, Code::InvalidResource);
    }
    for resource in
        ["*", "**", "arn:aws:s3:::b/*", "arn:*:sqs:*:*:q", "arn:aws:a:::${aws:username}:${*}${$}${?}"]
    {
        accepted(&with(resource), PolicyType::Inline, &[]);
    }
    accepted(
        &with("arn:acme:orders:eu:1:o"),
        PolicyType::Inline,
        &[(Severity::Note, Code::UnknownPartition)],
    );
    accepted(&with("arn:aws:iam::1:house/x"), PolicyType::Inline, &[(Severity::Note, Code::ResourceForm)]);
    accepted(&with("arn:aws:sqs"), PolicyType::Inline, &[(Severity::Warning, Code::ShortArn)]);
    accepted(&with("arn:aws:sqs:*"), PolicyType::Scp, &[(Severity::Warning, Code::ShortArn)]);
    tolerated(&with("arn:aws:sqs:*"), PolicyType::Session, Code::ShortArn);
    tolerated(&with("arn:aws:sqs"), PolicyType::Scp, Code::ShortArn);
    tolerated(&with("arn:aws:s3::bucket"), PolicyType::Inline, Code::ShortArn);
    tolerated(&with("arn:aws:s*:::b"), PolicyType::Inline, Code::ResourceService);
    tolerated(&with("arn:aws::::b"), PolicyType::Inline, Code::ResourceService);
    tolerated(&with("arn:aws:s3::${aws:x}:b"), PolicyType::Inline, Code::VariablePlacement);
    for variable in ["${", "${}", "${a:b", "${${a:b}}", "${a:b , 'x'}"] {
        tolerated(&with(&format!("arn:aws:s3:::{variable}")), PolicyType::Inline, Code::InvalidVariable);
    }
    for variable in ["${a:b,'x'}", "${a:b, 'x}", "${a:b, x}", "${a:b,  'x'}", "${a:b, '}"] {
        refused(&with(&format!("arn:aws:s3:::{variable}")), PolicyType::Inline, Code::VariableDefault);
    }
    accepted(&with("arn:aws:s3:::${a:b, ''}${a:c, 'd e'}"), PolicyType::Inline, &[]);
}

#[test]
fn principals_are_classified() {
    let with = |principal: &str| {
        one(&format!(r#""Effect":"Allow","Action":"a:b","Resource":"*","Principal":{principal}"#))
    };
    let entries = |document: Document| document.statements[0].principal.clone().expect("a principal").entries;
    let aws = |value: &str| with(&format!(r#"{{"AWS":"{value}"}}"#));
    let class = |value: &str| entries(accepted(&aws(value), PolicyType::Resource, &[])).remove(0);
    let own = |value: &str| value.to_owned();
    assert_eq!(class("*"), PrincipalEntry::Any);
    assert_eq!(class("111111111111"), PrincipalEntry::Account(own("111111111111")));
    let root = "arn:aws:iam::111111111111:root";
    assert_eq!(class(root), PrincipalEntry::Account(own(root)));
    let user = "arn:aws:iam::111111111111:user/p/a";
    assert_eq!(class(user), PrincipalEntry::User(own(user)));
    let role = "arn:aws:iam::111111111111:role/r";
    assert_eq!(class(role), PrincipalEntry::Role(own(role)));
    let session = "arn:aws:sts::111111111111:assumed-role/r/s";
    assert_eq!(class(session), PrincipalEntry::Session(own(session)));
    let federated = "arn:aws:sts::111111111111:federated-user/f";
    assert_eq!(class(federated), PrincipalEntry::FederatedUser(own(federated)));
    assert_eq!(class("AIDAJQABLZS4A3QDU576Q"), PrincipalEntry::UniqueId(own("AIDAJQABLZS4A3QDU576Q")));

    for principal in [r#""x""#, "{}", r#"{"aws":"*"}"#, r#"{"AWS":"garbage"}"#, r#"{"AWS":"arn:aws:s3:::b"}"#]
    {
        refused(&with(principal), PolicyType::Resource, Code::InvalidPrincipal);
    }
    refused(&with(r#"{"AWS":[]}"#), PolicyType::Resource, Code::EmptyList);
    refused(&with(r#"{"AWS":1}"#), PolicyType::Resource, Code::WrongType);
    let inert = |principal: &str, code| {
        let entries = entries(tolerated(&with(principal), PolicyType::Resource, code));
        assert!(matches!(entries[0], PrincipalEntry::Inert(_)), "{principal}");
    };
    for value in [
        "arn:aws:iam::111111111111:user/*",
        "arn:aws:iam::*:root",
        "arn:aws:sts::111111111111:assumed-role/R/*",
    ] {
        inert(&format!(r#"{{"AWS":"{value}"}}"#), Code::PrincipalWildcard);
    }
    for word in ["group/g", "instance-profile/p", "policy/p"] {
        inert(&format!(r#"{{"AWS":"arn:aws:iam::111111111111:{word}"}}"#), Code::UnsupportedPrincipal);
    }
    inert(r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/eng/app/R/s"}"#, Code::UnsupportedPrincipal);
    inert(r#"{"Service":"*"}"#, Code::ServicePrincipal);
    inert(r#"{"CanonicalUser":"ab"}"#, Code::CanonicalUser);
    accepted(
        &with(r#"{"Service":["ec2.amazonaws.com","s3.eu-south-1.amazonaws.com"]}"#),
        PolicyType::Resource,
        &[],
    );
    let provider = r#"{"Federated":"arn:aws:iam::111111111111:saml-provider/x"}"#;
    tolerated(&with(provider), PolicyType::Resource, Code::FederatedPrincipal);
}

#[test]
fn conditions_have_their_form() {
    let with = |condition: &str| {
        one(&format!(r#""Effect":"Deny","Action":"a:b","Resource":"*","Condition":{condition}"#))
    };
    let kind = PolicyType::Inline;
    refused(&with("[]"), kind, Code::WrongType);
    refused(&with("null"), kind, Code::NullValue);
    refused(&with(r#"{"StringEquals":["a"]}"#), kind, Code::InvalidCondition);
    refused(&with(r#"{"StringEquals":{"a:b":{"c":"d"}}}"#), kind, Code::InvalidCondition);
    refused(&with(r#"{"StringEquals":{"a:b":null}}"#), kind, Code::NullValue);
    for operator in
        ["StringEqual", "ForAnyValue::StringEquals", "NullIfExists", "ForSomeValue:StringEquals", "IfExists"]
    {
        refused(&with(&format!(r#"{{"{operator}":{{"a:b":"true"}}}}"#)), kind, Code::UnknownOperator);
        tolerated(&with(&format!(r#"{{"{operator}":{{}}}}"#)), kind, Code::UnknownOperator);
    }
    accepted(&with("{}"), kind, &[]);
    tolerated(&with(r#"{"foranyvalue:stringequalsifexists":{"a:b":"c"}}"#), kind, Code::OperatorSpelling);
    refused(&with(r#"{"StringEquals":{"a:b":"c","A:b":"d"}}"#), kind, Code::DuplicateConditionKey);
    refused(&with(r#"{"StringEquals":{"a:b":"c","a:b":"d"}}"#), kind, Code::DuplicateMember);
    tolerated(&with(r#"{"StringEquals":{"ab":"c"}}"#), kind, Code::ConditionKey);
    tolerated(&with(r#"{"StringEquals":{"aws:PrincipalTag/":"c"}}"#), kind, Code::TagKey);
    tolerated(&with(r#"{"StringEquals":{"a:b":[]}}"#), kind, Code::EmptyValues);
    tolerated(&with(r#"{"ForAnyValue:Null":{"a:b":"true"}}"#), kind, Code::NullQualifier);
    tolerated(&with(r#"{"NumericEquals":{"a:b":"${a:c}"}}"#), kind, Code::VariableInTypedValue);
    refused(&with(r#"{"Null":{"a:b":"yes"}}"#), kind, Code::NullOperatorValue);
    for (operator, value) in
        [("NumericEquals", "0x1F"), ("Bool", "1"), ("IpAddress", "1.2.3"), ("BinaryEquals", "!")]
    {
        tolerated(&with(&format!(r#"{{"{operator}":{{"a:b":"{value}"}}}}"#)), kind, Code::TypedValue);
    }
    tolerated(&with(r#"{"DateEquals":{"a:b":"2024-13-01"}}"#), kind, Code::InvalidDate);
    tolerated(&with(r#"{"DateEquals":{"a:b":"2024-01-01T00:00:00+0100"}}"#), kind, Code::InvalidDate);
    tolerated(&with(r#"{"ArnLike":{"a:b":"*"}}"#), kind, Code::ArnPattern);
    accepted(&with(r#"{"ArnLike":{"a:b":"arn:aws:iam::${aws:PrincipalAccount}:x"}}"#), kind, &[]);
    tolerated(&with(r#"{"ArnLike":{"a:b":"arn:aws:${aws:x}:b"}}"#), kind, Code::ArnPattern);
    let mixed = [(Severity::Warning, Code::MixedValueTypes)];
    let document = accepted(&with(r#"{"StringEqualsIfExists":{"a:b":["a",true,1.5e2]}}"#), kind, &mixed);
    let condition = &document.statements[0].conditions[0];
    let values: Vec<&str> = condition.values.iter().map(|value| value.value.as_str()).collect();
    assert_eq!((condition.if_exists, values), (true, vec!["a", "true", "150"]));
}

#[test]
fn an_allow_for_all_values_without_guard_is_noted() {
    let with = |more: &str| {
        let condition = format!(r#"{{"ForAllValues:StringEquals":{{"aws:TagKeys":"a"}}{more}}}"#);
        one(&format!(r#""Effect":"Allow","Action":"a:b","Resource":"*","Condition":{condition}"#))
    };
    accepted(&with(""), PolicyType::Inline, &[(Severity::Note, Code::UnguardedForAllValues)]);
    accepted(&with(r#","Null":{"aws:tagkeys":"false"}"#), PolicyType::Inline, &[]);
}

#[test]
fn numbers_become_plain_decimals() {
    let cases = [
        ("1", "1"),
        ("-0.50", "-0.50"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("12.34e1", "123.4"),
        ("-1e0", "-1"),
        ("0e5", "0"),
        ("100e-2", "1"),
        ("9007199254740993", "9007199254740993"),
    ];
    for (raw, plain) in cases {
        assert_eq!(plain_decimal(raw).as_deref(), Some(plain), "{raw}");
    }
    assert_eq!(plain_decimal("1e999999999999"), None);
}

#[test]
fn each_type_forbids_its_elements() {
    use PolicyType::{Endpoint, Inline, Managed, Rcp, Resource, Scp, Session, Trust};
    let base = r#""Effect":"Deny","Action":"a:b","Resource":"*""#;
    for (kind, code) in [
        (Managed, Code::ElementNotAllowed),
        (Inline, Code::ElementNotAllowed),
        (Scp, Code::ElementNotAllowed),
        (Session, Code::SessionPolicyPrincipal),
    ] {
        accepted(&one(base), kind, &[]);
        refused(&one(&format!(r#"{base},"Principal":"*""#)), kind, code);
        refused(&one(&format!(r#"{base},"NotPrincipal":{{"AWS":"111111111111"}}"#)), kind, code);
    }
    for kind in [Resource, Endpoint] {
        accepted(&one(&format!(r#"{base},"Principal":"*""#)), kind, &[]);
        accepted(&one(&format!(r#"{base},"NotPrincipal":{{"AWS":"111111111111"}}"#)), kind, &[]);
        tolerated(&one(base), kind, Code::MissingPrincipal);
    }
    accepted(&one(r#""Effect":"Deny","Action":"a:b","Principal":"*""#), Resource, &[]);
    refused(&one(r#""Effect":"Deny","Action":"a:b","Principal":"*""#), Endpoint, Code::MissingResource);
    let allow = r#""Effect":"Allow","Action":"a:b","Resource":"*","NotPrincipal":{"AWS":"111111111111"}"#;
    tolerated(&one(allow), Resource, Code::AllowNotPrincipal);

    let trust = |more: &str| one(&format!(r#""Effect":"Allow","Principal":{{"AWS":"111111111111"}},{more}"#));
    for action in ["sts:AssumeRole", "sts:*", "STS:assume*", "sts:TagSession", "sts:SetContext"] {
        accepted(&trust(&format!(r#""Action":"{action}""#)), Trust, &[]);
    }
    for action in ["*", "s3:GetObject", "sts:GetCallerIdentity"] {
        tolerated(&trust(&format!(r#""Action":"{action}""#)), Trust, Code::TrustAction);
    }
    tolerated(&trust(r#""Action":"sts:AssumeRole","Resource":"*""#), Trust, Code::ElementNotAllowed);
    tolerated(&trust(r#""NotAction":"sts:AssumeRole""#), Trust, Code::ElementNotAllowed);
    tolerated(
        &one(r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":"*""#),
        Trust,
        Code::TrustPrincipal,
    );
    tolerated(&one(r#""Effect":"Allow","Action":"sts:AssumeRole""#), Trust, Code::MissingPrincipal);

    let rcp = |effect: &str, action: &str, principal: &str| {
        one(&format!(r#""Effect":"{effect}",{action},"Resource":"*","Principal":{principal}"#))
    };
    accepted(&rcp("Deny", r#""Action":"a:*""#, r#""*""#), Rcp, &[]);
    tolerated(&rcp("Allow", r#""Action":"a:*""#, r#""*""#), Rcp, Code::ResourceControl);
    tolerated(&rcp("Deny", r#""Action":"*""#, r#""*""#), Rcp, Code::ResourceControl);
    tolerated(&rcp("Deny", r#""NotAction":"a:*""#, r#""*""#), Rcp, Code::ElementNotAllowed);
    tolerated(&rcp("Deny", r#""Action":"a:*""#, r#"{"AWS":"111111111111"}"#), Rcp, Code::ResourceControl);
    refused(&one(base), Rcp, Code::MissingPrincipal);
}

#[test]
fn a_document_may_be_an_encoded_string() {
    let plain = one(r#""Effect":"Allow","Action":"a:b","Resource":"arn:aws:s3:::b/%2A""#);
    let encoded =
        percent_encoding::utf8_percent_encode(&plain, percent_encoding::NON_ALPHANUMERIC).to_string();
    for source in [encoded, plain] {
        let text = serde_json::to_string(&source).expect("encodes");
        let document = accepted(&text, PolicyType::Inline, &[]);
        assert_eq!(
            document.statements[0].resources.as_ref().expect("resources").entries[0].value,
            "arn:aws:s3:::b/%2A"
        );
        assert_eq!(document.statements[0].span, Span { start: 0, end: text.len() as u32 });
    }
    refused(r#""%7B%22a%22""#, PolicyType::Inline, Code::JsonSyntax);
    refused(r#""%7B%ff""#, PolicyType::Inline, Code::DocumentNotObject);
}

#[test]
fn characters_and_lengths_are_counted() {
    let wide = one("\"Sid\":\"\",\"Effect\":\"Allow\",\"Action\":\"a:\u{4e00}\",\"Resource\":\"*\"");
    tolerated(&wide, PolicyType::Inline, Code::DocumentCharacter);
    accepted(&wide, PolicyType::Scp, &[]);
    let padded = |count: usize, space: &str| {
        let name = "a".repeat(count);
        one(&format!(r#""Effect":"Allow",{space}"Action":"a:{name}","Resource":"*""#))
    };
    let base = padded(0, "").len();
    let limit = validate::SESSION_CHARS_MAX;
    accepted(&padded(limit - base, &" ".repeat(100)), PolicyType::Session, &[]);
    let over = [(Severity::Warning, Code::PolicyTooLong)];
    accepted(&padded(limit - base + 1, ""), PolicyType::Session, &over);
}

mod laws {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    const MEMBERS: [&str; 24] = [
        r#""Sid":"a b""#,
        r#""Sid":7"#,
        r#""Effect":"Allow""#,
        r#""Effect":"Deny""#,
        r#""Effect":"deny""#,
        r#""Action":"*""#,
        r#""Action":["a:b","*:c",null]"#,
        r#""Action":["sts:AssumeRole","sts:?"]"#,
        r#""NotAction":[]"#,
        r#""NotAction":"a:${b}""#,
        r#""Resource":"*""#,
        r#""Resource":["arn:aws:s3","arn:acme:o:${a}::${b, 'c'}",null]"#,
        r#""NotResource":"arn:aws:s3:::${a""#,
        r#""NotResource":"bucket""#,
        r#""Principal":"*""#,
        r#""Principal":{"AWS":["*","arn:aws:iam::111111111111:group/g"],"Service":"*"}"#,
        r#""Principal":{"AWS":"x"}"#,
        r#""NotPrincipal":{"Federated":"*","CanonicalUser":"1"}"#,
        r#""Condition":{"StringEquals":{"a:b":["c",1e2,true]},"bool":{"a:b":"${x}"}}"#,
        r#""Condition":{"ForAllValues:ArnLike":{"ab":"*"},"Null":{"a:b":"maybe"}}"#,
        r#""Condition":{"DateEquals":{"a:b":[]},"NumericEquals":{"a:b":"x","A:B":"1"}}"#,
        r#""Condition":{"Foo":{},"Bar":{"a":1},"IpAddress":[]}"#,
        r#""Condition":null"#,
        r#""Extra":[[{}]]"#,
    ];
    const KINDS: [PolicyType; 8] = [
        PolicyType::Managed,
        PolicyType::Inline,
        PolicyType::Resource,
        PolicyType::Trust,
        PolicyType::Session,
        PolicyType::Scp,
        PolicyType::Rcp,
        PolicyType::Endpoint,
    ];

    proptest! {
        /// The modes find the same things, strict mode never milder; without a document there is an error.
        #[test]
        fn strict_mode_only_raises_severities(
            members in prop::collection::vec(select(MEMBERS.as_slice()), 0..7),
            kind in select(KINDS.as_slice()),
            version in select(["", r#""Version":"2012-10-17","#, r#""Version":"2008-10-17","#].as_slice()),
        ) {
            let source = format!(r#"{{{version}"Statement":[{{{}}}]}}"#, members.join(","));
            let (strict, _) = found(&source, kind, LoadMode::Strict);
            let (lenient, document) = found(&source, kind, LoadMode::Lenient);
            let refused = |codes: &[(Severity, Code)]| codes.iter().any(|one| one.0 == Severity::Error);
            prop_assert!(refused(&strict) || !refused(&lenient), "{source}: {strict:?} {lenient:?}");
            prop_assert!(refused(&lenient) || document.is_some_and(|document| document.statements.len() == 1));
            // A `null` that lenient mode drops is named by both, but an emptied list only by lenient mode.
            let counted = |codes: &[(Severity, Code)]| codes.iter().filter(|one| one.1 != Code::EmptyList).count();
            prop_assert!(counted(&lenient) >= counted(&strict), "{source}: {strict:?} {lenient:?}");
        }
    }
}
