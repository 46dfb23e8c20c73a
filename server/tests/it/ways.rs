//! A plain call is answered where it is read, any other through the routes: two ways, one answer.

use portcullis_proto::v1;
use prost::Message;
use tonic::Code;

use crate::corpus::some_cases;
use crate::raw::{AUTHORIZE, Answer, BATCH, PLAIN, ROUTED, Raw, STREAM, framed, framed_bytes};
use crate::sidecar::{ALICE, ORDER, Sidecar, question, text};

/// What may not depend on the way: everything but the name of each answer.
fn essence(mut response: v1::AuthorizeResponse) -> v1::AuthorizeResponse {
    assert_eq!(response.request_id.len(), 36);
    response.request_id = String::new();
    response
}

fn result(mut result: v1::AuthorizeResult) -> v1::AuthorizeResult {
    if let Some(v1::authorize_result::Result::Response(response)) = &mut result.result {
        *response = essence(std::mem::take(response));
    }
    result
}

/// The essence of an answer: its messages, or its whole status.
fn told<M: Message + Default>(answer: &Answer, essence: impl Fn(M) -> M) -> Result<Vec<M>, String> {
    if answer.code() == Code::Ok {
        return Ok(answer.messages().into_iter().map(essence).collect());
    }
    let header = |name: &str| answer.trailers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Err(format!("{:?} {:?} {:?}", answer.code(), header("grpc-message"), header("grpc-status-details-bin")))
}

async fn both_ways<M: Message + Default + PartialEq + std::fmt::Debug>(
    raw: &Raw,
    path: &str,
    body: Vec<u8>,
    essence: impl Fn(M) -> M,
) -> Result<Vec<M>, String> {
    let plain = told(&raw.call(path, PLAIN, body.clone()).await, &essence);
    let routed = told(&raw.call(path, ROUTED, body).await, &essence);
    assert_eq!(plain, routed);
    plain
}

#[tokio::test]
async fn cases_of_every_kind_have_one_answer() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    let (mut answers, mut refusals, mut written) = (0, 0, String::new());
    let mut statuses = sidecar.store.subscribe_status();
    for (policies, mut request) in some_cases(16) {
        // Cases share policies, and some do not load; none may come between two answers.
        if policies != written {
            sidecar.write("policies.json", &policies);
            let scans = sidecar.store.status().scans;
            sidecar.store.rescan();
            // The first may have begun before the file was written.
            statuses.wait_for(|status| status.scans >= scans + 2).await.unwrap();
            written = policies;
        }
        for detail in [v1::Detail::None, v1::Detail::Statements, v1::Detail::Trace] {
            request.detail = detail.into();
            match both_ways(&raw, AUTHORIZE, framed(&request), essence).await {
                Ok(_) => answers += 1,
                Err(_) => refusals += 1,
            }
        }
    }
    assert!(answers > 100 && refusals > 0, "{answers} answers, {refusals} refusals");
}

/// Questions that are good, bad in every way that a question can be, and want more than most.
fn questions() -> Vec<v1::AuthorizeRequest> {
    let good = || question(ALICE, "orders:DeleteOrder", ORDER);
    let with = |adjust: fn(&mut v1::AuthorizeRequest)| {
        let mut question = good();
        adjust(&mut question);
        question
    };
    vec![
        good(),
        question(ALICE, "orders:GetOrder", ORDER),
        v1::AuthorizeRequest::default(),
        question("nobody at all", "orders:*", "order 42"),
        with(|question| question.detail = v1::Detail::Statements.into()),
        with(|question| question.detail = v1::Detail::Trace.into()),
        with(|question| question.detail = 77),
        with(|question| question.min_generation = 99),
        with(|question| drop(question.context.insert("k".to_owned(), v1::ContextValue { value: None }))),
        with(|question| drop(question.context.insert("aws:PrincipalArn".to_owned(), text(ALICE)))),
        with(|question| {
            let policies = vec!["{".to_owned()];
            question.session = Some(v1::Session { policies, ..v1::Session::default() });
        }),
        with(|question| {
            question.session =
                Some(v1::Session { transitive_tag_keys: vec!["none".to_owned()], ..v1::Session::default() });
        }),
    ]
}

#[tokio::test]
async fn bad_questions_have_one_answer_in_every_call() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    for request in questions() {
        let _ = both_ways(&raw, AUTHORIZE, framed(&request), essence).await;
    }
    let item = |request: v1::AuthorizeRequest| v1::BatchAuthorizeItem {
        principal: request.principal,
        action: request.action,
        resource: request.resource,
        context: request.context,
        resource_account: request.resource_account,
        session: request.session,
    };
    let batch = |adjust: fn(&mut v1::BatchAuthorizeRequest)| {
        let mut batch = v1::BatchAuthorizeRequest {
            items: questions().into_iter().map(item).collect(),
            context: [("K".to_owned(), text("shared")), ("l".to_owned(), text("shared"))].into(),
            ..v1::BatchAuthorizeRequest::default()
        };
        adjust(&mut batch);
        framed(&batch)
    };
    let results = |mut response: v1::BatchAuthorizeResponse| {
        response.results = response.results.into_iter().map(result).collect();
        response
    };
    let told = both_ways(&raw, BATCH, batch(|_| {}), results).await.unwrap();
    assert_eq!(told[0].results.len(), questions().len());
    for adjust in [
        |batch: &mut v1::BatchAuthorizeRequest| batch.detail = v1::Detail::Statements.into(),
        |batch: &mut v1::BatchAuthorizeRequest| batch.detail = v1::Detail::Trace.into(),
        |batch: &mut v1::BatchAuthorizeRequest| batch.detail = 77,
        |batch: &mut v1::BatchAuthorizeRequest| batch.min_generation = 99,
        |batch: &mut v1::BatchAuthorizeRequest| batch.items.clear(),
        |batch: &mut v1::BatchAuthorizeRequest| batch.items.resize(101, v1::BatchAuthorizeItem::default()),
    ] {
        let _ = both_ways(&raw, BATCH, batch(adjust), results).await;
    }
    let mut stream = Vec::new();
    for (number, request) in questions().into_iter().map(Some).chain([None]).enumerate() {
        let message = v1::AuthorizeStreamRequest { correlation_id: number.to_string(), request };
        stream.extend(framed(&message));
    }
    let streamed = |mut response: v1::AuthorizeStreamResponse| {
        response.result = response.result.map(result);
        response
    };
    let told = both_ways(&raw, STREAM, stream, streamed).await.unwrap();
    let order: Vec<String> = told.into_iter().map(|response| response.correlation_id).collect();
    assert_eq!(order, (0..=questions().len()).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn bodies_that_are_no_message_have_one_answer() {
    let sidecar = Sidecar::start().await;
    let raw = Raw::connect(sidecar.grpc).await;
    let good = framed(&question(ALICE, "orders:GetOrder", ORDER));
    // A group, which nobody sends any more and every reader skips.
    let grouped = [&question(ALICE, "orders:GetOrder", ORDER).encode_to_vec()[..], &[0x53, 0x54]].concat();
    assert!(both_ways(&raw, AUTHORIZE, framed_bytes(&grouped), essence).await.is_ok());
    let mut compressed = good.clone();
    compressed[0] = 1;
    let too_long = framed_bytes(&vec![0; (256 << 10) + 1]);
    let no_text = framed_bytes(&[0x0a, 0x01, 0xff]);
    let no_field = framed_bytes(&[0x07]);
    for body in [compressed, too_long, no_text, no_field, good[..good.len() - 1].to_vec(), Vec::new()] {
        let told = both_ways(&raw, AUTHORIZE, body.clone(), essence).await;
        assert!(told.is_err(), "{told:?}");
    }
    // Two messages where one belongs: the second is not looked at.
    let _ = both_ways(&raw, AUTHORIZE, [good.clone(), good].concat(), essence).await;
}
