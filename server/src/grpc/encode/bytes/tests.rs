//! Answers of every shape, held against prost.

use std::sync::LazyLock;
use std::time::SystemTime;

use portcullis_engine::{
    Decision, Effect, Instant, Layer, OwnedKeys, Reason, Request, RequestInput, StatementRef,
};
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

use super::*;
use crate::accept::Peer;
use crate::grpc::authorization::{Asker, Call, Verdict};
use crate::grpc::encode::{self, Stamp};
use crate::grpc::request_id::RequestId;

const LAYERS: [Layer; 8] = [
    Layer::Identity,
    Layer::Resource,
    Layer::Boundary,
    Layer::Session,
    Layer::Scp,
    Layer::Rcp,
    Layer::Endpoint,
    Layer::Trust,
];

/// Texts whose lengths take one, two and three bytes, and none.
static TEXTS: LazyLock<[String; 5]> =
    LazyLock::new(|| [String::new(), "a".to_owned(), "äöü".to_owned(), "x".repeat(128), "y".repeat(20_000)]);

fn text() -> BoxedStrategy<&'static str> {
    (0..5_usize).prop_map(|place| TEXTS[place].as_str()).boxed()
}

fn statement() -> BoxedStrategy<StatementRef<'static>> {
    let number = || prop_oneof![Just(0), 1..200_u32, any::<u32>()];
    let texts = (text(), text(), text());
    (texts, number(), number(), number(), select(&LAYERS[..]))
        .prop_map(|((policy_id, sid, file), index, line, column, layer)| StatementRef {
            policy_id,
            sid,
            index,
            file,
            line,
            column,
            layer,
        })
        .boxed()
}

type Parts = (Effect, Reason, Layer, (Vec<StatementRef<'static>>, Vec<&'static str>));

fn parts() -> BoxedStrategy<Parts> {
    let reasons = [Reason::Allowed, Reason::ExplicitDeny, Reason::ImplicitDeny, Reason::EvaluationLimit];
    let lists = (prop::collection::vec(statement(), 0..4), prop::collection::vec(text(), 0..4));
    (select(vec![Effect::Allow, Effect::Deny]), select(reasons.to_vec()), select(&LAYERS[..]), lists).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_bytes_are_those_of_prost(
        (effect, reason, layer, (statements, missing)) in parts(),
        detail in select(vec![Detail::None, Detail::Statements]),
        revision in text(),
        generation in prop_oneof![Just(0), any::<u64>()],
        correlation_id in text(),
    ) {
        let (stamp, peer) = (Stamp { revision: revision.to_owned(), generation }, Peer::default());
        let input = RequestInput {
            principal: "arn:aws:iam::111122223333:user/alice",
            action: "orders:GetOrder",
            resource: "arn:acme:orders:eu-1:111122223333:order/42",
            resource_account: None,
            context: &[],
            session: None,
            now: Instant::new(0, 0),
            owned_keys: OwnedKeys::Refuse,
        };
        let request = Request::parse(input).unwrap();
        let decision = Decision {
            effect,
            reason,
            layer,
            statements: statements.into_iter().collect(),
            principal: None,
            missing_context_keys: missing.into_iter().collect(),
            depends_on_time: generation % 2 == 1,
        };
        let time = SystemTime::now();
        let answered = Answered {
            request: &request,
            verdict: Verdict::Plain(decision),
            detail,
            stamp: &stamp,
            request_id: RequestId::new(time),
            asker: Asker { peer: &peer, user_agent: "", call: Call::Authorize },
            time,
        };
        let response = encode::answer(&answered);
        let mut out = Vec::new();
        super::response(&mut out, &answered);
        prop_assert_eq!(&out, &response.encode_to_vec());

        let error = v1::AuthorizeError { code: 3, message: revision.to_owned(), ..Default::default() };
        let sent = |result| v1::AuthorizeResult { result: Some(result) };
        let good = sent(v1::authorize_result::Result::Response(response));
        let bad = sent(v1::authorize_result::Result::Error(error.clone()));
        let mut out = Vec::new();
        framed(&mut out, |out| streamed(out, correlation_id, |out| super::answered(out, &answered)));
        let streamed = v1::AuthorizeStreamResponse {
            correlation_id: correlation_id.to_owned(),
            result: Some(good.clone()),
        };
        prop_assert_eq!(&out[1..PREFIX_BYTES], &u32::try_from(streamed.encoded_len()).unwrap().to_be_bytes());
        prop_assert_eq!(&out[PREFIX_BYTES..], &streamed.encode_to_vec());

        let mut out = Vec::new();
        batch_result(&mut out, |out| super::answered(out, &answered));
        batch_result(&mut out, |out| refused(out, &error));
        batch_end(&mut out, revision, generation);
        let batch = v1::BatchAuthorizeResponse {
            results: vec![good, bad],
            revision: revision.to_owned(),
            generation,
        };
        prop_assert_eq!(&out, &batch.encode_to_vec());
    }
}
