//! Sources that are small for their cost: each would take minutes if anything in them were done for every pair.

use portcullis_engine::{
    Instant, LoadMode, Loaded, OwnedKeys, PolicySetBuilder, Request, RequestInput, Session, SessionPolicies,
    limit,
};

const ROLE: &str = r#"{"RoleDetailList":[{"RoleName":"app","Arn":"arn:aws:iam::111111111111:role/app",
    "AssumeRolePolicyDocument":{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}]},
    "RolePolicyList":[{"PolicyName":"all","PolicyDocument":{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"*","Resource":"*"}]}}]}]}"#;

fn load(source: &str) -> Loaded {
    let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
    builder.add("hostile.json", source.as_bytes().to_vec());
    builder.finish()
}

#[test]
fn a_decision_names_a_bounded_number_of_missing_keys() {
    let keys: Vec<_> = (0..200_000).map(|number| format!(r#""k:{number}":"v""#)).collect();
    let document = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"StringEquals":{{{}}}}}}}}}"#,
        keys.join(",")
    );
    let policies = SessionPolicies::compile(&[document], LoadMode::Lenient).unwrap();
    let policy_set = load(ROLE).policy_set.unwrap();
    let input = RequestInput {
        principal: "arn:aws:sts::111111111111:assumed-role/app/s",
        action: "s3:GetObject",
        resource: "arn:aws:s3:::b/k",
        resource_account: None,
        context: &[],
        session: Some(Session { policies: Some(&policies), ..Session::default() }),
        now: Instant::new(1_770_000_000, 0),
        owned_keys: OwnedKeys::Refuse,
    };
    let request = Request::parse(input).unwrap();
    let missing = policy_set.authorize(&request).missing_context_keys;
    assert_eq!(missing.len(), limit::MISSING_KEYS_MAX);
    assert_eq!(missing.first(), Some(&"k:0"));
}

#[test]
fn many_findings_in_one_long_line_are_all_shown() {
    let user = r#"{"UserName":"u","Arn":"arn:aws:iam::111111111111:user/u"}"#;
    let users = vec![user; 50_000].join(",");
    let loaded = load(&format!(r#"{{"UserDetailList":[{users}]}}"#));
    assert!(loaded.policy_set.is_none());
    let last = loaded.diagnostics.last().unwrap();
    let excerpt: Vec<char> = last.excerpt.chars().collect();
    let at = last.excerpt_column as usize;
    let underlined: String = excerpt[at..at + last.width as usize].iter().collect();
    assert_eq!(underlined, user);
}
