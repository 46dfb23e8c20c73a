//! Tests of the directory format.

use super::*;
use crate::diagnostic::{Code, Severity};

const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#;

fn read(source: &str, mode: LoadMode) -> (Entities, Vec<Diagnostic>) {
    let text = SourceText::new("a.json".to_owned(), source.to_owned());
    let mut findings = Vec::new();
    let entities = entities(&text, mode, &mut findings);
    (entities, findings)
}

fn codes(source: &str) -> Vec<Code> {
    read(source, LoadMode::Lenient).1.iter().map(|finding| finding.code).collect()
}

fn good(source: &str) -> Entities {
    let (entities, findings) = read(source, LoadMode::Strict);
    assert_eq!(findings, [], "{source}");
    entities
}

#[test]
fn a_user_of_aws_loads() {
    let source = format!(
        r#"{{"IsTruncated":false,"UserDetailList":[{{"Path":"/eng/","UserName":"alice","UserId":"AIDA1",
        "Arn":"arn:aws:iam::111111111111:user/eng/alice","CreateDate":"2024-01-01T00:00:00Z","GroupList":["g"],
        "UserPolicyList":[{{"PolicyName":"p","PolicyDocument":{DOCUMENT}}}],
        "AttachedManagedPolicies":[{{"PolicyName":"m","PolicyArn":"arn:aws:iam::aws:policy/m"}}],
        "PermissionsBoundary":{{"PermissionsBoundaryType":"Policy","PermissionsBoundaryArn":"arn:aws:iam::aws:policy/b"}},
        "Tags":[{{"Key":"team","Value":"x"}}]}}]}}"#
    );
    let user = good(&source).users.remove(0);
    assert_eq!((user.name.as_str(), user.account.as_str()), ("alice", "111111111111"));
    assert_eq!(user.arn.value, "arn:aws:iam::111111111111:user/eng/alice");
    assert_eq!(user.id.as_deref(), Some("AIDA1"));
    assert_eq!((user.groups[0].value.as_str(), user.inline[0].name.as_str()), ("g", "p"));
    assert_eq!(user.attached[0].value, "arn:aws:iam::aws:policy/m");
    assert_eq!(user.boundary.expect("a boundary").value, "arn:aws:iam::aws:policy/b");
    assert_eq!(user.tags, [("team".to_owned(), "x".to_owned())]);
}

#[test]
fn what_is_left_out_is_derived() {
    let derived = |entry: &str| good(&format!(r#"{{"RoleDetailList":[{entry}]}}"#)).roles.remove(0);
    let role = derived(r#"{"RoleName":"r","AccountId":"111111111111","Path":"/a/b/"}"#);
    assert_eq!(role.arn.value, "arn:aws:iam::111111111111:role/a/b/r");
    let role = derived(r#"{"Arn":"arn:aws-cn:iam::111111111111:role/a/r"}"#);
    assert_eq!((role.name.as_str(), role.account.as_str()), ("r", "111111111111"));
    assert!(role.trust.is_none());
    let roles = |entry: &str| codes(&format!(r#"{{"RoleDetailList":[{entry}]}}"#));
    assert_eq!(roles("{}"), [Code::MissingMember]);
    assert_eq!(roles(r#"{"RoleName":"r"}"#), [Code::MissingMember]);
    assert_eq!(roles(r#"{"RoleName":"r","AccountId":"1"}"#), [Code::InvalidAccount]);
    assert_eq!(roles(r#"{"RoleName":"r/s","AccountId":"111111111111"}"#), [Code::InvalidName]);
    assert_eq!(roles(r#"{"Arn":"arn:aws:iam::111111111111:user/r"}"#), [Code::InvalidArn]);
    assert_eq!(roles(r#"{"RoleName":"s","Arn":"arn:aws:iam::111111111111:role/r"}"#), [Code::ArnMismatch]);
    assert_eq!(roles(r#"{"Path":"/x/","Arn":"arn:aws:iam::111111111111:role/r"}"#), [Code::ArnMismatch]);
    assert_eq!(roles(r#"{"Arn":1}"#), [Code::WrongType]);
}

#[test]
fn unknown_members_get_a_suggestion() {
    let (_, findings) = read(r#"{"UserDetialList":[]}"#, LoadMode::Lenient);
    assert_eq!(findings[0].code, Code::UnknownMember);
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `UserDetailList`?"));
    let (_, findings) = read(r#"{"GroupDetailList":[{"GroupNam":"g"}]}"#, LoadMode::Lenient);
    assert_eq!(findings[0].help.as_deref(), Some("did you mean `GroupName`?"));
}

#[test]
fn only_the_default_version_is_read() {
    let policy =
        |rest: &str| format!(r#"{{"Policies":[{{"Arn":"arn:aws:iam::111111111111:policy/p",{rest}}}]}}"#);
    let versions = |marks: [&str; 2]| {
        let [first, second] = marks;
        format!(
            r#""PolicyVersionList":[{{"VersionId":"v1"{first},"Document":"junk"}},
            {{"VersionId":"v2"{second},"Document":{DOCUMENT}}}]"#
        )
    };
    let (no, yes) = (r#","IsDefaultVersion":false"#, r#","IsDefaultVersion":true"#);
    assert_eq!(good(&policy(&versions([no, yes]))).policies.len(), 1);
    assert_eq!(
        good(&policy(&format!(r#""DefaultVersionId":"v2",{}"#, versions(["", ""])))).policies.len(),
        1
    );
    assert_eq!(good(&policy(&format!(r#""PolicyDocument":{DOCUMENT}"#))).policies.len(), 1);
    assert_eq!(codes(&policy(&versions([yes, yes]))), [Code::DefaultVersion]);
    assert_eq!(codes(&policy(&versions([no, no]))), [Code::DefaultVersion]);
    assert_eq!(
        codes(&policy(&format!(r#""DefaultVersionId":"v3",{}"#, versions(["", ""])))),
        [Code::DefaultVersion]
    );
    assert_eq!(codes(&policy(r#""Path":"/""#)), [Code::MissingMember]);
}

#[test]
fn a_boundary_may_be_a_string_in_lenient_mode() {
    let source =
        r#"{"UserDetailList":[{"Arn":"arn:aws:iam::111111111111:user/a","PermissionsBoundary":"arn:b"}]}"#;
    let (entities, findings) = read(source, LoadMode::Lenient);
    assert_eq!(entities.users[0].boundary.as_ref().expect("a boundary").value, "arn:b");
    assert_eq!(findings[0].severity, Severity::Warning);
    assert_eq!(read(source, LoadMode::Strict).1[0].severity, Severity::Error);
}

#[test]
fn resources_and_endpoints_load() {
    let policy = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"a:b","Resource":"*"}}"#;
    let source = format!(
        r#"{{"ResourceDetailList":[{{"ResourceArn":["arn:aws:s3:::a","arn:aws:s3:::a/*"],"OwnerAccountId":"111111111111",
        "ResourcePolicy":{policy},"Tags":[],"Delegating":true}},{{"ResourceArn":"*"}}],
        "EndpointPolicyList":[{{"EndpointId":"vpce-1","PolicyDocument":{policy}}}]}}"#
    );
    let entities = good(&source);
    let resource = &entities.resources[0];
    assert_eq!(
        (resource.patterns.len(), resource.delegating, resource.tags.as_deref()),
        (2, true, Some(&[][..]))
    );
    assert!(entities.resources[1].tags.is_none());
    assert_eq!(entities.endpoints[0].id.value, "vpce-1");
    assert_eq!(codes(r#"{"ResourceDetailList":[{"ResourceArn":"bucket"}]}"#), [Code::InvalidArn]);
    assert_eq!(
        codes(r#"{"ResourceDetailList":[{"ResourceArn":"*","Delegating":"yes"}]}"#),
        [Code::WrongType]
    );
    assert_eq!(codes(r#"{"EndpointPolicyList":[{"EndpointId":"vpce-1"}]}"#), [Code::MissingMember]);
}

#[test]
fn an_organization_loads() {
    let source = format!(
        r#"{{"Organization":{{"Id":"o-1","ManagementAccountId":"111111111111","Policies":[
        {{"Id":"p-1","Name":"n","Type":"SERVICE_CONTROL_POLICY","Content":{DOCUMENT}}}],
        "Root":{{"Id":"r-1","ServiceControlPolicies":["p-1"],"Accounts":[{{"Id":"222222222222"}}],
        "OrganizationalUnits":[{{"Id":"ou-1","ResourceControlPolicies":[]}}]}}}}}}"#
    );
    let organization = good(&source).organization.expect("an organization");
    assert_eq!(organization.policies[0].id.value, "p-1");
    assert_eq!(organization.root.scps.as_ref().expect("a list")[0].value, "p-1");
    assert!(organization.root.rcps.is_none() && organization.root.accounts[0].scps.is_none());
    assert_eq!(organization.root.units[0].rcps.as_deref(), Some(&[][..]));
    assert_eq!(codes(r#"{"Organization":{"Id":"o-1"}}"#), [Code::MissingMember]);
    let typed = r#"{"Organization":{"Id":"o-1","Root":{"Id":"r-1"},"Policies":[{"Id":"p","Type":"SCP","Content":{}}]}}"#;
    assert_eq!(codes(typed), [Code::InvalidOrganization]);
}

#[test]
fn wrong_types_and_tags_are_reported() {
    assert_eq!(codes("[]"), [Code::WrongType]);
    assert_eq!(codes("null"), [Code::NullValue]);
    assert_eq!(codes(r#"{"UserDetailList":{}}"#), [Code::WrongType]);
    assert_eq!(codes(r#"{"UserDetailList":[1,null]}"#), [Code::WrongType, Code::NullValue]);
    let tagged = |tags: &str| {
        codes(&format!(
            r#"{{"UserDetailList":[{{"Arn":"arn:aws:iam::111111111111:user/a","Tags":{tags}}}]}}"#
        ))
    };
    assert_eq!(tagged(r#"[{"Key":"a","Value":"x"},{"Key":"A","Value":"y"}]"#), [Code::InvalidTag]);
    assert_eq!(tagged(r#"[{"Key":"","Value":"x"}]"#), [Code::InvalidTag]);
    assert_eq!(tagged(r#"[{"Key":"a"}]"#), [Code::MissingMember]);
}

#[test]
fn findings_are_bounded_and_still_refuse() {
    let users = "{},".repeat(3000);
    let (_, findings) = read(&format!(r#"{{"UserDetailList":[{users}{{}}]}}"#), LoadMode::Lenient);
    assert_eq!(findings.len(), 501);
    assert_eq!(findings[500].code, Code::TooManyFindings);
    assert!(findings[..500].iter().all(|finding| finding.severity == Severity::Error));
    assert_eq!(findings[499].position.column, 20 + 499 * 3);
}
