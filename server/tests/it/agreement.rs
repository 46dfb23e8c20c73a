//! One evaluator behind every call: a question has one answer, however it is asked.

use portcullis_proto::v1;
use tokio_stream::StreamExt as _;

use crate::sidecar::{ALICE, BOB, ORDER, Sidecar, question, text};

/// The part of an answer that may not depend on the call.
fn essence(mut response: v1::AuthorizeResponse) -> v1::AuthorizeResponse {
    response.request_id = String::new();
    response.trace = None;
    response
}

/// Every principal with every action, with and without the context that matters.
fn questions(detail: v1::Detail) -> Vec<v1::AuthorizeRequest> {
    let mut questions = Vec::new();
    for principal in
        [ALICE, BOB, "arn:aws:iam::111122223333:root", "arn:aws:iam::999999999999:user/eve", "anonymous"]
    {
        for action in ["orders:GetOrder", "orders:PutOrder", "orders:DeleteOrder", "billing:Pay"] {
            for source in [None, Some("10.1.2.3"), Some("192.0.2.1")] {
                let mut asked = question(principal, action, ORDER);
                asked.detail = detail.into();
                asked.context.extend(source.map(|source| ("aws:SourceIp".to_owned(), text(source))));
                questions.push(asked);
            }
        }
    }
    questions
}

fn answered(result: Option<v1::AuthorizeResult>) -> v1::AuthorizeResponse {
    match result.and_then(|result| result.result) {
        Some(v1::authorize_result::Result::Response(response)) => essence(response),
        other => panic!("{other:?}"),
    }
}

fn item(request: &v1::AuthorizeRequest) -> v1::BatchAuthorizeItem {
    v1::BatchAuthorizeItem {
        principal: request.principal.clone(),
        action: request.action.clone(),
        resource: request.resource.clone(),
        context: request.context.clone(),
        ..v1::BatchAuthorizeItem::default()
    }
}

#[tokio::test]
async fn every_call_gives_the_same_answer() {
    let sidecar = Sidecar::start().await;
    let asked = questions(v1::Detail::Statements);
    let mut single = Vec::new();
    for request in &asked {
        single.push(essence(sidecar.authorize(request.clone()).await.unwrap()));
    }
    let kinds: std::collections::BTreeSet<i32> = single.iter().map(|response| response.reason).collect();
    assert_eq!(kinds.len(), 3, "the questions must be allowed, denied and not allowed");

    let batch = v1::BatchAuthorizeRequest {
        items: asked.iter().map(item).collect(),
        detail: v1::Detail::Statements.into(),
        ..v1::BatchAuthorizeRequest::default()
    };
    let results = sidecar.authorization().batch_authorize(batch).await.unwrap().into_inner().results;
    let batched: Vec<_> = results.into_iter().map(|result| answered(Some(result))).collect();
    assert_eq!(batched, single);

    for (request, expected) in asked.iter().zip(&single) {
        let simulation =
            v1::SimulateRequest { request: Some(request.clone()), ..v1::SimulateRequest::default() };
        let simulated = sidecar.authorization().simulate(simulation).await.unwrap().into_inner();
        assert_eq!(&essence(simulated.response.unwrap()), expected);
        let traced = v1::AuthorizeRequest { detail: v1::Detail::Trace.into(), ..request.clone() };
        let traced = sidecar.authorize(traced).await.unwrap();
        assert!(traced.trace.is_some());
        assert_eq!(&essence(traced), expected);
    }

    let streamed = asked.iter().enumerate().map(|(at, request)| v1::AuthorizeStreamRequest {
        correlation_id: at.to_string(),
        request: Some(request.clone()),
    });
    let requests = tokio_stream::iter(streamed.collect::<Vec<_>>());
    let mut answers = sidecar.authorization().authorize_stream(requests).await.unwrap().into_inner();
    for (at, expected) in single.iter().enumerate() {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.correlation_id, at.to_string());
        assert_eq!(&answered(answer.result), expected);
    }
    assert!(answers.next().await.is_none());
}
