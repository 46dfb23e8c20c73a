//! The fake keeps to its script, and its statements fail when they should.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use portcullis_client::testing::{Fake, Verdict};
use portcullis_client::{Authorizer, Decision, Error, Reason, Request};

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/42";

async fn ask(pdp: &Fake, action: &str) -> Result<Decision, Error> {
    pdp.decide(Request::new(ALICE, action, ORDER)).await
}

async fn reason(pdp: &Fake, action: &str) -> Reason {
    ask(pdp, action).await.unwrap().reason()
}

#[tokio::test]
async fn without_a_rule_it_denies_and_says_so() {
    let denied = ask(&Fake::deny_all(), "orders:GetOrder").await.unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(denied.reason(), Reason::ImplicitDeny);
    assert_eq!(
        denied.message(),
        format!(
            "{ALICE} is not authorized to perform: orders:GetOrder on resource: {ORDER} because the script of the fake \
             has no rule for it"
        )
    );
}

#[tokio::test]
async fn the_last_rule_that_fits_answers() {
    let away = Error::Unreachable("gone".to_owned());
    let pdp = Fake::deny_all()
        .allow("orders:*", "arn:acme:orders:*:order/4?")
        .deny("orders:delete*", "*")
        .fail("orders:Refund", "*", away.clone());
    assert_eq!(reason(&pdp, "orders:GetOrder").await, Reason::Allowed);
    assert_eq!(reason(&pdp, "ORDERS:getorder").await, Reason::Allowed);
    assert_eq!(reason(&pdp, "orders:DeleteOrder").await, Reason::ExplicitDeny);
    assert_eq!(reason(&pdp, "invoices:Get").await, Reason::ImplicitDeny);
    assert_eq!(ask(&pdp, "orders:Refund").await.unwrap_err(), away);
    let elsewhere = Request::new(ALICE, "orders:GetOrder", "arn:acme:orders:eu-1:111122223333:order/421");
    assert_eq!(pdp.decide(elsewhere).await.unwrap().reason(), Reason::ImplicitDeny);

    // A test changes its mind, and the service's clone follows.
    let of_service = pdp.clone();
    let _ = pdp.allow("*", "*").judge(|request| match request.principal() {
        ALICE if request.action() == "orders:Refund" => Some(Verdict::Deny),
        _ => None,
    });
    assert_eq!(reason(&of_service, "orders:DeleteOrder").await, Reason::Allowed);
    assert_eq!(reason(&of_service, "orders:Refund").await, Reason::ExplicitDeny);
    assert!(ask(&Fake::allow_all(), "a:B").await.unwrap().require().is_ok());
    assert_eq!(ask(&Fake::fail_all(away.clone()), "a:B").await.unwrap_err(), away);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_its_time() {
    let pdp = Fake::allow_all().delay(Duration::from_secs(60));
    let start = tokio::time::Instant::now();
    assert!(ask(&pdp, "orders:GetOrder").await.unwrap().is_allowed());
    assert!(start.elapsed() >= Duration::from_secs(60));
    let limit = Duration::from_secs(1);
    let late = pdp.decide(Request::new(ALICE, "orders:GetOrder", ORDER).timeout(limit)).await;
    assert_eq!(late.unwrap_err(), Error::Timeout(limit));
}

#[tokio::test]
async fn the_record_is_what_was_asked() {
    let pdp = Fake::deny_all();
    pdp.assert_asked_nothing();
    let first = Request::new(ALICE, "orders:GetOrder", ORDER).context("aws:SourceIp", "10.0.0.7");
    let second = Request::new("anonymous", "orders:ListOrders", "*");
    let _ = pdp.authorize_all(vec![first.clone(), second.clone()]).await;
    assert_eq!(pdp.asked(), [first, second]);
    pdp.assert_asked(ALICE, "orders:getorder", ORDER);
    pdp.assert_asked("anonymous", "*", "*");
    pdp.assert_not_asked(ALICE, "orders:List*", "*");
    pdp.forget();
    pdp.assert_asked_nothing();
}

#[tokio::test]
async fn a_statement_that_is_wrong_says_what_was_asked() {
    let pdp = Fake::deny_all();
    let _ = ask(&pdp, "orders:GetOrder").await;
    let said = |state: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(state)).unwrap_err();
        *panic.downcast::<String>().unwrap()
    };
    let asked = format!("asked were: \n  {ALICE} may orders:GetOrder on {ORDER}");
    assert_eq!(
        said(&|| pdp.assert_asked("*", "orders:Put*", "*")),
        format!("nobody asked whether * may orders:Put* on *; {asked}")
    );
    assert_eq!(
        said(&|| pdp.assert_not_asked("*", "orders:Get*", "*")),
        format!("somebody asked whether * may orders:Get* on *; {asked}")
    );
    assert_eq!(said(&|| pdp.assert_asked_nothing()), format!("nothing was to be asked, but {asked}"));
}

const POLICIES: &str = r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice",
    "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Action": "orders:*", "Resource": "arn:acme:orders:*:*:order/4?"}}}]}]}"#;

#[tokio::test]
async fn policies_answer_where_the_script_is_silent() {
    let pdp = Fake::from_json(POLICIES).unwrap().deny("orders:Delete*", "*");
    assert_eq!(reason(&pdp, "orders:GetOrder").await, Reason::Allowed);
    assert_eq!(reason(&pdp, "orders:DeleteOrder").await, Reason::ExplicitDeny);
    assert_eq!(reason(&pdp, "invoices:Get").await, Reason::ImplicitDeny);
    pdp.assert_asked(ALICE, "invoices:Get", ORDER);
    let problem = Fake::from_json(POLICIES.replace("Effect", "Efect")).unwrap_err().to_string();
    assert!(problem.contains("invalid-effect"), "{problem}");
}

#[tokio::test]
async fn what_a_sidecar_would_refuse_is_refused() {
    let pdp = Fake::allow_all();
    for question in [
        Request::new(ALICE, "orders:Get*", ORDER),
        Request::new(ALICE, "orders", ORDER),
        Request::new(ALICE, "orders:GetOrder", "order/42"),
        Request::new("alice", "orders:GetOrder", ORDER),
        Request::new(ALICE, "orders:GetOrder", ORDER).context("aws:PrincipalArn", ALICE),
        Request::new(ALICE, "orders:GetOrder", ORDER).context("aws:SourceIp", "here"),
    ] {
        let refused = pdp.decide(question.clone()).await;
        assert!(
            matches!(&refused, Err(Error::Refused { code: tonic::Code::InvalidArgument, .. })),
            "{question:?}: {refused:?}"
        );
    }
    let later = Request::new(ALICE, "orders:GetOrder", ORDER).min_generation(7);
    assert_eq!(pdp.decide(later).await.unwrap().answer().generation(), 7);
}
