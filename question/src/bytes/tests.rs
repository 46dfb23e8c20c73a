//! Held against prost: random messages in random encodings, and the same with bytes changed.

use portcullis_proto::v1;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message as _;

use portcullis_engine::LoadMode;

use super::*;
use crate::message::Kept;
use crate::{Question, SessionPolicyCache};

/// Short texts that often meet again, some not ASCII.
fn text() -> BoxedStrategy<String> {
    prop_oneof!["", "a", "b", "aws:SourceIp", "[a-c]{0,3}", "\\PC{0,12}", "x{130}"].boxed()
}

fn value() -> BoxedStrategy<v1::ContextValue> {
    use v1::context_value::Value as Sent;
    prop_oneof![
        Just(None),
        text().prop_map(|text| Some(Sent::Text(text))),
        vec(text(), 0..4).prop_map(|values| Some(Sent::List(v1::TextList { values }))),
        any::<bool>().prop_map(|boolean| Some(Sent::Boolean(boolean))),
        text().prop_map(|number| Some(Sent::Number(number))),
    ]
    .prop_map(|value| v1::ContextValue { value })
    .boxed()
}

fn time() -> BoxedStrategy<Option<prost_types::Timestamp>> {
    proptest::option::of(
        (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
    )
    .boxed()
}

fn session() -> BoxedStrategy<Option<v1::Session>> {
    let lists = (vec(text(), 0..3), vec(text(), 0..3), btree_map(text(), text(), 0..4), vec(text(), 0..3));
    let rest = (time(), time(), text(), text(), text());
    let session = (lists, rest).prop_map(|((policies, policy_arns, tags, transitive_tag_keys), rest)| {
        let (issued_at, mfa_authenticated_at, source_identity, federated_provider, issuer) = rest;
        v1::Session {
            policies,
            policy_arns,
            tags,
            transitive_tag_keys,
            issued_at,
            mfa_authenticated_at,
            source_identity,
            federated_provider,
            issuer,
        }
    });
    proptest::option::of(session).boxed()
}

fn question() -> BoxedStrategy<v1::AuthorizeRequest> {
    let texts = (text(), text(), text(), text());
    (texts, btree_map(text(), value(), 0..6), session(), any::<u64>(), any::<i32>())
        .prop_map(
            |((principal, action, resource, resource_account), context, session, min_generation, detail)| {
                v1::AuthorizeRequest {
                    principal,
                    action,
                    resource,
                    context,
                    resource_account,
                    session,
                    min_generation,
                    detail,
                }
            },
        )
        .boxed()
}

fn batch_of_questions() -> BoxedStrategy<v1::BatchAuthorizeRequest> {
    let shared = (text(), session(), btree_map(text(), value(), 0..4), any::<u64>(), any::<i32>());
    (shared, vec(question(), 0..5))
        .prop_map(|(shared, questions)| {
            let (principal, session, context, min_generation, detail) = shared;
            let item = |question: v1::AuthorizeRequest| v1::BatchAuthorizeItem {
                principal: question.principal,
                action: question.action,
                resource: question.resource,
                context: question.context,
                resource_account: question.resource_account,
                session: question.session,
            };
            let items = questions.into_iter().map(item).collect();
            v1::BatchAuthorizeRequest { principal, session, context, items, min_generation, detail }
        })
        .boxed()
}

/// One field, as a writer that knows nothing about the message lays it down.
#[derive(Debug, Clone)]
enum Laid {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<(u32, Laid)>),
}

/// Fields in any order and number, known and unknown, of right and wrong layout, nested.
fn fields() -> BoxedStrategy<Vec<(u32, Laid)>> {
    let number = prop_oneof![9 => 1..11_u32, 1 => 1..=(u32::MAX >> 3)];
    let leaf = prop_oneof![
        2 => any::<u64>().prop_map(Laid::Varint),
        1 => any::<[u8; 8]>().prop_map(Laid::Fixed64),
        1 => any::<[u8; 4]>().prop_map(Laid::Fixed32),
        8 => text().prop_map(|text| Laid::Bytes(text.into_bytes())),
        1 => vec(any::<u8>(), 0..6).prop_map(Laid::Bytes),
    ];
    let laid = leaf.prop_recursive(4, 40, 6, {
        let number = number.clone();
        move |inner| vec((number.clone(), inner), 0..6).prop_map(Laid::Message)
    });
    vec((number, laid), 0..10).boxed()
}

fn lay(fields: &[(u32, Laid)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, laid) in fields {
        let wire = match laid {
            Laid::Varint(_) => 0,
            Laid::Fixed64(_) => 1,
            Laid::Bytes(_) | Laid::Message(_) => 2,
            Laid::Fixed32(_) => 5,
        };
        prost::encoding::encode_varint(u64::from(*number) << 3 | wire, &mut out);
        match laid {
            Laid::Varint(number) => prost::encoding::encode_varint(*number, &mut out),
            Laid::Fixed64(bytes) => out.extend(bytes),
            Laid::Fixed32(bytes) => out.extend(bytes),
            Laid::Bytes(bytes) => delimit(bytes, &mut out),
            Laid::Message(fields) => delimit(&lay(fields), &mut out),
        }
    }
    out
}

fn delimit(bytes: &[u8], out: &mut Vec<u8>) {
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn same_question(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let decoded = v1::AuthorizeRequest::decode(bytes);
    let read = authorize(bytes);
    match &decoded {
        Ok(expected) => {
            if let Ok(read) = &read {
                prop_assert_eq!(read, &Message::from(expected));
            }
        }
        Err(error) => prop_assert!(read.is_err(), "prost: {error}"),
    }
    Ok(read.is_ok())
}

fn same_batch(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let decoded = v1::BatchAuthorizeRequest::decode(bytes);
    let read = batch(bytes, usize::MAX);
    match &decoded {
        Ok(expected) => {
            if let Ok(read) = &read {
                prop_assert_eq!(read, &BatchMessage::from(expected));
            }
        }
        Err(error) => prop_assert!(read.is_err(), "prost: {error}"),
    }
    Ok(read.is_ok())
}

fn same_streamed(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let decoded = v1::AuthorizeStreamRequest::decode(bytes);
    let read = streamed(bytes);
    match &decoded {
        Ok(expected) => {
            if let Ok((correlation_id, request)) = &read {
                prop_assert_eq!(*correlation_id, &expected.correlation_id);
                prop_assert_eq!(request, &expected.request.as_ref().map(Message::from));
            }
        }
        Err(error) => prop_assert!(read.is_err(), "prost: {error}"),
    }
    Ok(read.is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_clients_send_is_read_as_prost_reads_it(
        question in question(),
        other in question(),
        items in batch_of_questions(),
        correlation_id in text(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let plain = question.encode_to_vec();
        prop_assert!(same_question(&plain)?, "a plain message is read");
        // Two encodings in a row are one message: later texts win, sessions merge, maps join.
        let twice = [plain.clone(), other.encode_to_vec()].concat();
        prop_assert!(same_question(&twice)?, "a message in two parts is read");
        let sent = v1::AuthorizeStreamRequest { correlation_id, request: Some(question) };
        let streamed = [sent.encode_to_vec(), sent.encode_to_vec()].concat();
        prop_assert!(same_streamed(&streamed)?, "a message of a stream is read");
        let items = items.encode_to_vec();
        prop_assert!(same_batch(&items)?, "a batch is read");

        for mut bytes in [plain, twice, streamed, items] {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
                same_question(&bytes)?;
                same_batch(&bytes)?;
                same_streamed(&bytes)?;
                bytes.truncate(place);
                same_question(&bytes)?;
                same_batch(&bytes)?;
                same_streamed(&bytes)?;
            }
        }
    }

    #[test]
    fn what_is_kept_is_decoded_as_what_was_sent(mut question in question(), clean in any::<bool>()) {
        // Some with nothing wrong, whose content is compared, and not what is wrong with them alone.
        question.detail = question.detail.rem_euclid(4);
        if let Some(session) = question.session.as_mut().filter(|_| clean) {
            session.policies.clear();
            session.transitive_tag_keys.retain(|key| session.tags.contains_key(key));
            (session.issued_at, session.mfa_authenticated_at) = (None, Some(prost_types::Timestamp::default()));
        }
        let policies = SessionPolicyCache::new(0, LoadMode::Lenient);
        let message = Message::from(&question);
        let sent = crate::authorize(&message, &policies);
        let kept = Kept::from(&question);
        let mut read = Question::default();
        let wishes = crate::kept(&kept, &policies, &mut read);
        prop_assert_eq!(format!("{:?}", wishes.map(|wishes| (read, wishes))), format!("{sent:?}"));
    }

    #[test]
    fn fields_of_any_kind_in_any_order_are_read_as_prost_reads_them(fields in fields()) {
        let bytes = lay(&fields);
        same_question(&bytes)?;
        same_batch(&bytes)?;
        same_streamed(&bytes)?;
    }
}

#[test]
fn what_is_not_read_here_is_left_to_prost() {
    // A group, which prost skips; a number of eleven bytes; field 0; a field number beyond the limit.
    let group = [0x53, 0x54];
    assert!(v1::AuthorizeRequest::decode(&group[..]).is_ok());
    assert_eq!(authorize(&group), Err(Unread));
    let mut long = vec![0x38];
    long.extend([0xff; 10]);
    long.push(1);
    for bytes in [&long[..], &[0x00, 0x00], &[0xff, 0xff, 0xff, 0xff, 0x7f, 0x00]] {
        assert!(v1::AuthorizeRequest::decode(bytes).is_err());
        assert_eq!(authorize(bytes), Err(Unread));
    }
    let item = v1::BatchAuthorizeItem::default();
    let two = v1::BatchAuthorizeRequest { items: vec![item.clone(), item], ..Default::default() };
    assert!(batch(&two.encode_to_vec(), 2).is_ok());
    assert_eq!(batch(&two.encode_to_vec(), 1), Err(Unread));
}
