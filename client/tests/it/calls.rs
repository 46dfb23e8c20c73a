//! Questions and answers when all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis_client::{
    AnyAuthorizer, Authorizer, Builder, Cache, Client, Decision, Error, Event, Health, Observer, Reason,
    Request, Session,
};
use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use tonic::Status;

use crate::sidecar::{ALICE, ORDER, SOON, Sidecar, allowed, client, denied};

#[tokio::test]
async fn decisions_over_both_kinds_of_socket() {
    let sidecar = Sidecar::loaded().await;
    for endpoint in [&sidecar.tcp, &sidecar.unix] {
        let client = client(endpoint).await;
        let decision = client.authorize(ALICE, "orders:GetOrder", ORDER).await.unwrap();
        assert_eq!((decision.reason(), decision.answer().generation()), (Reason::Allowed, 1));
        let permit = decision.require().unwrap();
        assert_eq!(permit.request(), &allowed());

        let question = client.authorize(ALICE, "orders:DeleteOrder", ORDER).with_statements().context("n", 1);
        let decision = question.await.unwrap();
        let Decision::Deny(answer) = &decision else { unreachable!("{decision:?}") };
        assert_eq!((answer.reason(), answer.statements()[0].sid.as_str()), (Reason::ExplicitDeny, "Keep"));
        let refused = decision.require().unwrap_err();
        let text = "with an explicit deny in an identity-based policy";
        assert!(refused.to_string().contains(text), "{refused}");
    }
}

#[tokio::test]
async fn a_decision_tells_whether_it_depended_on_the_time() {
    let sidecar = Sidecar::loaded().await;
    let client = sidecar.client().await;
    let late = client.authorize(ALICE, "orders:Late", ORDER).await.unwrap();
    assert!(late.is_allowed() && late.answer().depends_on_time());
    assert!(!client.decide(allowed()).await.unwrap().answer().depends_on_time());
}

#[tokio::test]
async fn a_malformed_question_is_an_error_with_its_fields() {
    let sidecar = Sidecar::loaded().await;
    let session = Session::new().policy("{");
    let error =
        sidecar.client().await.authorize(ALICE, "orders:GetOrder", ORDER).session(session).await.unwrap_err();
    assert!(!error.is_transient());
    let Error::Refused { reason, violations, .. } = error else { unreachable!("{error:?}") };
    assert_eq!(
        (reason.as_str(), violations.first().unwrap().field.as_str()),
        ("MALFORMED_REQUEST", "session.policies")
    );
}

#[tokio::test]
async fn many_questions_have_one_answer_each_however_they_are_asked() {
    let sidecar = Sidecar::loaded().await;
    let client = sidecar.client().await;
    let requests = || -> Vec<Request> {
        let of = |number| match number % 3 {
            0 => allowed(),
            1 => Request::new(ALICE, "nonsense", ORDER),
            _ => denied(),
        };
        (0..250).map(of).collect()
    };
    let told = |answers: Vec<Result<Decision, Error>>| -> Vec<Option<bool>> {
        answers.into_iter().map(|answer| answer.ok().map(|decision| decision.is_allowed())).collect()
    };
    let expected: Vec<Option<bool>> = [Some(true), None, Some(false)].into_iter().cycle().take(250).collect();
    assert_eq!(told(client.authorize_all(requests()).await), expected);

    let pipeline = Arc::new(client.pipeline());
    let asked: Vec<_> = requests()
        .into_iter()
        .map(|request| {
            let pipeline = Arc::clone(&pipeline);
            tokio::spawn(async move { pipeline.decide(request).await })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    assert_eq!(told(answers), expected);
    assert_eq!(told(AnyAuthorizer::new(pipeline).authorize_all(requests()).await), expected);
}

#[tokio::test]
async fn questions_that_are_too_large_for_one_call_go_in_several() {
    let sidecar = Sidecar::loaded().await;
    let client = sidecar.client().await;
    let of_kib = |kib: usize| allowed().context("app:notes", vec!["x".repeat(1 << 10); kib]);
    let mut requests = vec![of_kib(30); 20];
    requests.push(of_kib(300));
    let mut answers = client.authorize_all(requests).await;
    let too_large = answers.pop().unwrap().unwrap_err();
    assert!(
        matches!(&too_large, Error::Refused { reason, .. } if reason == "MESSAGE_TOO_LARGE"),
        "{too_large:?}"
    );
    assert_eq!(answers.len(), 20);
    for answer in answers {
        assert!(answer.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn health_status_and_waiting_follow_the_sidecar() {
    let sidecar = Sidecar::start().await;
    let client = sidecar.client().await;
    assert_eq!(client.health().await.unwrap(), Health::NotServing);
    let error = client.decide(allowed()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let short = Duration::from_millis(50);
    assert_eq!(client.wait_for_revision("", 1, short).await.unwrap_err(), Error::Timeout(short));
    sidecar.load().await;
    let waited = client.wait_for_revision("", 1, SOON).await.unwrap();
    let status = client.status().await.unwrap();
    assert_eq!((status.revision, status.generation), (waited.revision, 1));
    let serving = async { while client.health().await.unwrap() != Health::Serving {} };
    tokio::time::timeout(SOON, serving).await.expect("the sidecar serves");
}

/// Answers with what it was asked, and how.
struct Echo;

type Stream<T> = tokio_stream::Empty<Result<T, Status>>;

#[tonic::async_trait]
impl AuthorizationService for Echo {
    type AuthorizeStreamStream = Stream<v1::AuthorizeStreamResponse>;

    async fn authorize(
        &self,
        request: tonic::Request<v1::AuthorizeRequest>,
    ) -> Result<tonic::Response<v1::AuthorizeResponse>, Status> {
        let parent = request.metadata().get("traceparent").map(|value| value.to_str().unwrap().to_owned());
        Ok(tonic::Response::new(v1::AuthorizeResponse {
            decision: v1::Decision::Deny.into(),
            reason: v1::Reason::ImplicitDeny.into(),
            message: parent.unwrap_or_default(),
            ..v1::AuthorizeResponse::default()
        }))
    }

    async fn batch_authorize(
        &self,
        _: tonic::Request<v1::BatchAuthorizeRequest>,
    ) -> Result<tonic::Response<v1::BatchAuthorizeResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn authorize_stream(
        &self,
        _: tonic::Request<tonic::Streaming<v1::AuthorizeStreamRequest>>,
    ) -> Result<tonic::Response<Self::AuthorizeStreamStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn simulate(
        &self,
        _: tonic::Request<v1::SimulateRequest>,
    ) -> Result<tonic::Response<v1::SimulateResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_context_keys(
        &self,
        _: tonic::Request<v1::ListContextKeysRequest>,
    ) -> Result<tonic::Response<v1::ListContextKeysResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Counts calls of one method that went well at once.
struct Calls(&'static str, AtomicU32);

impl Calls {
    fn of(method: &'static str) -> Arc<Self> {
        Arc::new(Self(method, AtomicU32::new(0)))
    }

    fn counted(&self) -> u32 {
        self.1.load(Ordering::Relaxed)
    }
}

impl Observer for Calls {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Called { method, attempts: 1, error: None, .. } = event
            && *method == self.0
        {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn a_service_in_this_process_is_as_good_as_a_connection() {
    let calls = Calls::of("Authorize");
    let client = Builder::over(AuthorizationServiceServer::new(Echo))
        .propagate(|headers| {
            headers.insert("traceparent", "00-1-2-01".parse().unwrap());
        })
        .observer(Arc::clone(&calls))
        .connect_lazy()
        .unwrap();
    let decision = client.decide(allowed()).await.unwrap();
    assert!(!decision.is_allowed());
    assert_eq!(decision.message(), "00-1-2-01");
    assert_eq!(calls.counted(), 1);
    // It has no streams: the questions of a pipeline are asked one by one.
    let decision = client.pipeline().decide(allowed()).await.unwrap();
    assert_eq!((decision.message().as_ref(), decision.answer().request()), ("00-1-2-01", &allowed()));
}

#[tokio::test]
async fn a_question_of_a_pipeline_is_told_to_the_observer() {
    let sidecar = Sidecar::loaded().await;
    let calls = Calls::of("AuthorizeStream");
    let client = Client::builder(&sidecar.unix).observer(Arc::clone(&calls)).timeout(SOON);
    let pipeline = client.connect().await.unwrap().pipeline();
    for asked in 1..=3 {
        assert!(pipeline.decide(allowed()).await.unwrap().is_allowed());
        assert_eq!(calls.counted(), asked);
    }
}

/// What callers write for "no limit".
#[tokio::test]
async fn the_largest_settings_are_settings() {
    let sidecar = Sidecar::loaded().await;
    let longest = Duration::MAX;
    let client = Client::builder(&sidecar.tcp)
        .timeout(longest)
        .connect_timeout(longest)
        .keep_alive(longest, longest)
        .in_flight(usize::MAX)
        .attempts(u32::MAX)
        .cache(Cache::new(usize::MAX, longest))
        .connect()
        .await
        .unwrap();
    client.wait_for_revision("", 1, longest).await.unwrap();
    for request in [allowed(), allowed().timeout(longest), allowed().timeout(Duration::from_secs(1 << 50))] {
        // Long enough for answers to be kept.
        for _ in 0..20 {
            assert!(client.decide(request.clone()).await.unwrap().is_allowed());
        }
        assert!(client.pipeline().decide(request.clone()).await.unwrap().is_allowed());
        assert!(client.authorize_all(vec![request]).await[0].as_ref().unwrap().is_allowed());
    }
}
