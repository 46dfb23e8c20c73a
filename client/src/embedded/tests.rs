//! Of one process: what loads, what does not, and what a decision says. The comparison with a sidecar is in `tests/it`.

use super::*;
use crate::{Layer, Reason, Session};

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/42";

fn policies(action: &str) -> String {
    format!(
        r#"{{"UserDetailList": [{{"UserName": "alice", "Arn": "{ALICE}", "UserPolicyList": [
        {{"PolicyName": "orders", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Action": "{action}", "Resource": "*"}},
            {{"Sid": "Keep", "Effect": "Deny", "Action": "orders:Delete*", "Resource": "*"}}]}}}}]}}]}}"#
    )
}

fn request(action: &str) -> Request {
    Request::new(ALICE, action, ORDER)
}

#[test]
fn a_fixed_policy_set_needs_no_runtime_and_says_why() {
    let pdp = Embedded::from_json(policies("orders:Get*")).unwrap();
    let allowed = pdp.decide_now(request("orders:GetOrder")).unwrap();
    assert!(allowed.is_allowed());
    let denied = pdp.decide_now(request("orders:DeleteOrder").with_statements()).unwrap();
    assert_eq!((denied.reason(), denied.answer().layer()), (Reason::ExplicitDeny, Layer::Identity));
    assert_eq!(
        denied.message(),
        format!(
            "User: {ALICE} is not authorized to perform: orders:DeleteOrder on resource: {ORDER} \
             with an explicit deny in an identity-based policy"
        )
    );
    let statement = denied.answer().statements().first().unwrap();
    assert_eq!((statement.sid.as_str(), statement.file.as_str(), statement.line), ("Keep", "(given)", 4));
    assert_eq!((denied.answer().generation(), denied.answer().request_id()), (1, ""));
    assert_eq!(denied.answer().revision().len(), 64);
    assert!(
        std::ptr::eq(denied.answer().revision(), allowed.answer().revision()),
        "one text for all answers"
    );
}

#[test]
fn policies_that_do_not_load_are_an_error_with_their_place() {
    let LoadError::Rejected(rejection) = Embedded::from_json("{").unwrap_err() else { unreachable!() };
    assert!(rejection.to_string().starts_with("the policies do not load: (given):1:"), "{rejection}");
}

#[test]
fn a_question_that_cannot_be_answered_is_refused_with_its_fields() {
    let pdp = Embedded::from_json(policies("orders:Get*")).unwrap();
    let refused = |request: Request| match pdp.decide_now(request).unwrap_err() {
        Error::Refused { reason, violations, .. } => {
            (reason, violations.into_iter().map(|found| found.field).collect::<Vec<_>>())
        }
        other => unreachable!("{other:?}"),
    };
    let malformed = |field: &str| ("MALFORMED_REQUEST".to_owned(), vec![field.to_owned()]);
    assert_eq!(refused(request("nonsense")), malformed("action"));
    assert_eq!(refused(request("a:B").context("n", f64::NAN)), malformed("context[\"n\"]"));
    assert_eq!(refused(request("a:B").session(Session::new().policy("{"))), malformed("session.policies"));
    assert_eq!(
        refused(request("a:B").context("aws:CurrentTime", "2030-01-01T00:00:00Z")),
        malformed("context[\"aws:CurrentTime\"]")
    );
    assert_eq!(refused(request("a:B").min_generation(2)), ("GENERATION_NOT_ACTIVE".to_owned(), vec![]));
    // What is wrong with a question comes before what is not ready.
    assert_eq!(refused(request("nonsense").min_generation(2)), malformed("action"));
}

/// A time that no condition reads would leave a Deny without effect.
#[test]
fn conditions_read_every_time_that_a_clock_can_say() {
    let denied_when = |condition: &str| {
        let deny = r#""Action": "orders:Delete*", "Resource": "*""#;
        let text = policies("orders:*").replace(deny, &format!(r#"{deny}, "Condition": {{{condition}}}"#));
        Embedded::from_json(text).unwrap()
    };
    let before = denied_when(r#""DateLessThan": {"app:at": "1965-01-01T00:00:00Z"}"#);
    let after = denied_when(r#""DateGreaterThan": {"app:at": "2100-01-01T00:00:00Z"}"#);
    let since = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let until = |seconds| SystemTime::UNIX_EPOCH - Duration::from_secs(seconds);
    for (pdp, time, denied) in [
        (&before, until(631_152_000), true),
        (&before, until(1 << 62), true),
        (&before, until(1), false),
        (&before, since(0), false),
        (&after, since(0), false),
        (&after, since(300_000_000_000), true),
        (&after, since(1 << 62), true),
    ] {
        let decision = pdp.decide_now(request("orders:DeleteOrder").context("app:at", time)).unwrap();
        assert_eq!(!decision.is_allowed(), denied, "{time:?}");
    }
}

#[test]
fn a_simulation_believes_what_it_is_told() {
    let text = policies("orders:Get*").replace(
        r#""Resource": "*"},"#,
        r#""Resource": "*", "Condition": {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}},"#,
    );
    let pdp = Embedded::from_json(text).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    let at = |time| pdp.simulate(request("orders:GetOrder"), time).unwrap();
    assert!(at(then).is_allowed() && at(then).answer().depends_on_time());
    assert!(!at(SystemTime::now()).is_allowed());
    assert!(!pdp.decide_now(request("orders:GetOrder")).unwrap().is_allowed());
    let told = request("orders:GetOrder").context("aws:CurrentTime", "2019-01-01T00:00:00Z");
    assert!(pdp.simulate(told, SystemTime::now()).unwrap().is_allowed());
}

#[tokio::test]
async fn a_directory_is_followed_and_a_mistake_in_it_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.json");
    let open = || {
        Embedded::builder(directory.path()).poll_interval(Duration::from_millis(50)).settle(Duration::ZERO)
    };
    let wait = Duration::from_secs(60);

    let lazy = open().open_lazy();
    let error = lazy.decide_now(request("orders:GetOrder")).unwrap_err();
    assert!(matches!(&error, Error::Refused { reason, .. } if reason == "NO_POLICY_SET"), "{error:?}");
    assert!(error.is_transient());
    assert!(matches!(open().wait(wait).open().await, Err(LoadError::Rejected(_))), "it is empty");

    std::fs::write(&file, policies("orders:Get*")).unwrap();
    let pdp = open().wait(wait).open().await.unwrap();
    let ask = async |action: &str| pdp.authorize(ALICE, action, ORDER).await.unwrap();
    assert!(ask("orders:GetOrder").await.is_allowed());

    let until = async |condition: &dyn Fn(&Status) -> bool| {
        let mut status = pdp.decider.store().subscribe_status();
        let reached = status.wait_for(condition);
        tokio::time::timeout(wait, reached).await.expect("the directory is read").unwrap().clone()
    };
    std::fs::write(&file, "{").unwrap();
    until(&|status| status.rejection.is_some()).await;
    assert!(ask("orders:GetOrder").await.is_allowed(), "the last good policies still answer");
    assert!(pdp.ready(wait).await.is_ok());

    std::fs::write(&file, policies("orders:Put*")).unwrap();
    let status = until(&|status| status.generation == 2).await;
    assert!(status.rejection.is_none());
    let answers =
        pdp.authorize_all(vec![request("orders:GetOrder"), request("x"), request("orders:PutOrder")]).await;
    let told: Vec<Option<bool>> =
        answers.iter().map(|it| it.as_ref().ok().map(Decision::is_allowed)).collect();
    assert_eq!(told, [Some(false), None, Some(true)]);
}
