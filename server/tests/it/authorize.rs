//! Authorize, BatchAuthorize, AuthorizeStream and ListContextKeys.

use portcullis_proto::v1;
use prost_types::Timestamp;
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::sidecar::{ALICE, BOB, ORDER, Sidecar, fields, question, reason, text};

#[tokio::test]
async fn allow_and_both_kinds_of_deny() {
    let sidecar = Sidecar::start().await;
    let ask = async |principal: &str, action: &str| {
        let response = sidecar.authorize(question(principal, action, ORDER)).await.unwrap();
        assert_eq!(response.generation, 1);
        assert_eq!(response.revision, sidecar.store.current().unwrap().revision.to_string());
        assert!(!response.request_id.is_empty());
        (response.decision(), response.reason())
    };
    assert_eq!(ask(ALICE, "orders:GetOrder").await, (v1::Decision::Allow, v1::Reason::Allowed));
    assert_eq!(ask(ALICE, "orders:DeleteOrder").await, (v1::Decision::Deny, v1::Reason::ExplicitDeny));
    assert_eq!(ask(ALICE, "orders:PutOrder").await, (v1::Decision::Deny, v1::Reason::ImplicitDeny));
    assert_eq!(ask(BOB, "orders:GetOrder").await, (v1::Decision::Deny, v1::Reason::ImplicitDeny));
    let nobody = "arn:aws:iam::111122223333:user/nobody";
    assert_eq!(ask(nobody, "orders:GetOrder").await, (v1::Decision::Deny, v1::Reason::ImplicitDeny));
}

#[tokio::test]
async fn an_answer_tells_as_much_as_was_asked_for() {
    let sidecar = Sidecar::start().await;
    let ask = async |detail: v1::Detail| {
        let request =
            v1::AuthorizeRequest { detail: detail.into(), ..question(ALICE, "orders:DeleteOrder", ORDER) };
        sidecar.authorize(request).await.unwrap()
    };
    let plain = ask(v1::Detail::None).await;
    assert!(plain.determining_statements.is_empty() && plain.trace.is_none());
    assert!(plain.message.contains("not authorized to perform"), "{}", plain.message);

    let statements = ask(v1::Detail::Statements).await;
    let statement = statements.determining_statements.first().unwrap();
    assert_eq!(
        (statement.sid.as_str(), statement.index, statement.layer()),
        ("Keep", 2, v1::Layer::Identity)
    );
    assert_eq!((statement.file.as_str(), statement.line), ("policies.json", 8));
    assert!(statements.trace.is_none());

    let trace = ask(v1::Detail::Trace).await;
    assert_eq!((trace.decision(), trace.reason()), (plain.decision(), plain.reason()));
    let walked = trace.trace.unwrap();
    let layer = walked.layers.iter().find(|layer| layer.layer() == v1::Layer::Identity).unwrap();
    assert_eq!(layer.outcome(), v1::LayerOutcome::ExplicitDeny);
    assert_eq!(layer.statements.len(), 3);
    assert_eq!(layer.statements[0].failed_part(), v1::StatementPart::Action);
}

#[tokio::test]
async fn every_kind_of_context_value_arrives() {
    let sidecar = Sidecar::start().await;
    let mut request = question(ALICE, "orders:PutOrder", ORDER);
    request.context.insert("AWS:sourceip".to_owned(), text("10.1.2.3"));
    let number = v1::context_value::Value::Number("1.50".to_owned());
    request.context.insert("n".to_owned(), v1::ContextValue { value: Some(number) });
    let list = v1::context_value::Value::List(v1::TextList { values: Vec::new() });
    request.context.insert("l".to_owned(), v1::ContextValue { value: Some(list) });
    let boolean = v1::context_value::Value::Boolean(true);
    request.context.insert("b".to_owned(), v1::ContextValue { value: Some(boolean) });
    assert_eq!(sidecar.authorize(request).await.unwrap().decision(), v1::Decision::Allow);
}

#[tokio::test]
async fn each_malformed_field_is_named() {
    let sidecar = Sidecar::start().await;
    let good = || question(ALICE, "orders:GetOrder", ORDER);
    let refused =
        async |request: v1::AuthorizeRequest| fields(&sidecar.authorize(request).await.unwrap_err());
    let with_context = |key: &str, value: v1::ContextValue| {
        let mut request = good();
        request.context.insert(key.to_owned(), value);
        request
    };

    assert_eq!(refused(question("nobody at all", "orders:GetOrder", ORDER)).await, ["principal"]);
    assert_eq!(refused(question(ALICE, "orders:Get*", ORDER)).await, ["action"]);
    assert_eq!(refused(question(ALICE, "orders:GetOrder", "order 42")).await, ["resource"]);
    assert_eq!(
        refused(v1::AuthorizeRequest { resource_account: "12".to_owned(), ..good() }).await,
        ["resource_account"]
    );
    assert_eq!(refused(v1::AuthorizeRequest { detail: 99, ..good() }).await, ["detail"]);
    let owned = with_context("aws:PrincipalArn", text(ALICE));
    assert_eq!(refused(owned).await, ["context[\"aws:PrincipalArn\"]"]);
    assert_eq!(refused(with_context("k", v1::ContextValue { value: None })).await, ["context[\"k\"]"]);
    let number = v1::context_value::Value::Number("NaN".to_owned());
    let number = v1::ContextValue { value: Some(number) };
    assert_eq!(refused(with_context("k", number)).await, ["context[\"k\"]"]);
    let address = with_context("aws:SourceIp", text("nowhere"));
    assert_eq!(refused(address).await, ["context[\"aws:SourceIp\"]"]);
    let mut twice = with_context("Key", text("a"));
    twice.context.insert("kEY".to_owned(), text("b"));
    assert_eq!(refused(twice).await.len(), 1);

    let with_session = |session| v1::AuthorizeRequest { session: Some(session), ..good() };
    let policies = vec!["{".to_owned()];
    let session = v1::Session { policies, ..v1::Session::default() };
    assert_eq!(refused(with_session(session)).await.first().unwrap(), "session.policies");
    let issued_at = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
    let session = v1::Session { issued_at, ..v1::Session::default() };
    assert_eq!(refused(with_session(session)).await, ["session.issued_at"]);
    let transitive_tag_keys = vec!["team".to_owned()];
    let session = v1::Session { transitive_tag_keys, ..v1::Session::default() };
    assert_eq!(refused(with_session(session)).await, ["session.transitive_tag_keys"]);
}

#[tokio::test]
async fn all_malformed_fields_are_named_at_once() {
    let sidecar = Sidecar::start().await;
    let fields = fields(&sidecar.authorize(question("nobody at all", "Get", "order 42")).await.unwrap_err());
    assert_eq!(fields, ["principal", "action", "resource"]);
}

#[tokio::test]
async fn session_policies_narrow() {
    let sidecar = Sidecar::start().await;
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"orders:GetOrder","Resource":"*"}}"#;
    let session = v1::Session { policies: vec![document.to_owned()], ..v1::Session::default() };
    let federated = "arn:aws:sts::111122223333:federated-user/alice";
    for (action, decision) in
        [("orders:GetOrder", v1::Decision::Allow), ("orders:GetInvoice", v1::Decision::Deny)]
    {
        let request =
            v1::AuthorizeRequest { session: Some(session.clone()), ..question(federated, action, ORDER) };
        assert_eq!(sidecar.authorize(request).await.unwrap().decision(), decision, "{action}");
    }
}

#[tokio::test]
async fn a_generation_that_is_not_active_is_a_failed_precondition() {
    let sidecar = Sidecar::start().await;
    let request =
        |min_generation| v1::AuthorizeRequest { min_generation, ..question(ALICE, "orders:GetOrder", ORDER) };
    sidecar.authorize(request(1)).await.unwrap();
    let status = sidecar.authorize(request(2)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "GENERATION_NOT_ACTIVE")
    );
}

#[tokio::test]
async fn a_batch_answers_in_order_and_an_item_fails_alone() {
    let sidecar = Sidecar::start().await;
    let item = |principal: &str, action: &str| v1::BatchAuthorizeItem {
        principal: principal.to_owned(),
        action: action.to_owned(),
        resource: ORDER.to_owned(),
        ..v1::BatchAuthorizeItem::default()
    };
    let mut outside = item("", "orders:PutOrder");
    outside.context.insert("aws:sourceip".to_owned(), text("192.0.2.1"));
    let batch = v1::BatchAuthorizeRequest {
        principal: ALICE.to_owned(),
        context: [("aws:SourceIp".to_owned(), text("10.0.0.1"))].into(),
        items: vec![
            item("", "orders:PutOrder"),
            outside,
            item("", "orders:*"),
            item(BOB, "orders:PutOrder"),
            item("", "orders:DeleteOrder"),
        ],
        ..v1::BatchAuthorizeRequest::default()
    };
    let response = sidecar.authorization().batch_authorize(batch).await.unwrap().into_inner();
    assert_eq!(response.generation, 1);
    let told: Vec<String> = response.results.into_iter().map(tell).collect();
    assert_eq!(
        told,
        ["DECISION_ALLOW", "DECISION_DENY", "MALFORMED_REQUEST 3 action", "DECISION_DENY", "DECISION_DENY"]
    );
}

fn tell(result: v1::AuthorizeResult) -> String {
    match result.result.unwrap() {
        v1::authorize_result::Result::Response(response) => response.decision().as_str_name().to_owned(),
        v1::authorize_result::Result::Error(error) => {
            let fields: Vec<_> =
                error.field_violations.into_iter().map(|violation| violation.field).collect();
            format!("{} {} {}", error.reason, error.code, fields.join(","))
        }
    }
}

#[tokio::test]
async fn a_batch_of_more_than_the_limit_is_refused() {
    let sidecar = Sidecar::start().await;
    let batch = |count| v1::BatchAuthorizeRequest {
        principal: ALICE.to_owned(),
        items: vec![
            v1::BatchAuthorizeItem {
                action: "orders:GetOrder".to_owned(),
                resource: ORDER.to_owned(),
                ..v1::BatchAuthorizeItem::default()
            };
            count
        ],
        ..v1::BatchAuthorizeRequest::default()
    };
    let mut client = sidecar.authorization();
    assert_eq!(client.batch_authorize(batch(100)).await.unwrap().into_inner().results.len(), 100);
    assert_eq!(fields(&client.batch_authorize(batch(101)).await.unwrap_err()), ["items"]);
    assert!(client.batch_authorize(batch(0)).await.unwrap().into_inner().results.is_empty());
}

#[tokio::test]
async fn a_stream_answers_each_question_in_order() {
    let sidecar = Sidecar::start().await;
    let message = |number: usize| {
        let action = ["orders:GetOrder", "orders:DeleteOrder", "orders:*"][number % 3];
        v1::AuthorizeStreamRequest {
            correlation_id: number.to_string(),
            request: (number != 9).then(|| question(ALICE, action, ORDER)),
        }
    };
    let questions = tokio_stream::iter((0..10).map(message));
    let answers = sidecar.authorization().authorize_stream(questions).await.unwrap().into_inner();
    let told: Vec<(String, String)> = answers
        .map(|answer| answer.unwrap())
        .map(|answer| (answer.correlation_id, tell(answer.result.unwrap())))
        .collect()
        .await;
    assert_eq!(told.len(), 10);
    for (number, (id, told)) in told.into_iter().enumerate() {
        assert_eq!(id, number.to_string());
        let expected = ["DECISION_ALLOW", "DECISION_DENY", "MALFORMED_REQUEST 3 action"][number % 3];
        assert_eq!(told, if number == 9 { "MALFORMED_REQUEST 3 request" } else { expected });
    }
}

#[tokio::test]
async fn context_keys_are_listed() {
    let sidecar = Sidecar::start().await;
    let request = Some(question(ALICE, "orders:PutOrder", ORDER));
    let response = sidecar
        .authorization()
        .list_context_keys(v1::ListContextKeysRequest { request })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.keys, ["aws:SourceIp"]);
    assert_eq!(response.generation, 1);
    let status = sidecar
        .authorization()
        .list_context_keys(v1::ListContextKeysRequest { request: None })
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["request"]);
}
