//! What callers write, as it is sent.

use std::collections::BTreeSet;

use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn text(value: Value) -> Option<Sent> {
    value.0.value
}

#[test]
fn values_are_sent_as_what_they_are() {
    let address: IpAddr = "2001:DB8::7".parse().unwrap();
    let time = UNIX_EPOCH + Duration::new(1_800_000_000, 999_999_999);
    for (value, sent) in [
        (Value::from("text"), Sent::Text("text".to_owned())),
        (Value::from(true), Sent::Boolean(true)),
        (Value::from(address), Sent::Text("2001:db8::7".to_owned())),
        (Value::from(Ipv4Addr::LOCALHOST), Sent::Text("127.0.0.1".to_owned())),
        (Value::from(Ipv6Addr::LOCALHOST), Sent::Text("::1".to_owned())),
        (Value::from(&"text".to_owned()), Sent::Text("text".to_owned())),
        (Value::from(443_u16), Sent::Number("443".to_owned())),
        (Value::from(vec!["a"]), Sent::List(v1::TextList { values: vec!["a".to_owned()] })),
        (Value::from(time), Sent::Text("2027-01-15T08:00:00Z".to_owned())),
        (Value::from(UNIX_EPOCH - Duration::from_millis(500)), Sent::Text("1969-12-31T23:59:59Z".to_owned())),
        (
            Value::from(UNIX_EPOCH - Duration::from_secs(62_167_219_200)),
            Sent::Text("0000-01-01T00:00:00Z".to_owned()),
        ),
        (
            Value::from(UNIX_EPOCH - Duration::from_secs(62_167_219_201)),
            Sent::Text("-62167219201".to_owned()),
        ),
        (
            Value::from(UNIX_EPOCH + Duration::from_secs(253_402_300_799)),
            Sent::Text("9999-12-31T23:59:59Z".to_owned()),
        ),
        (
            Value::from(UNIX_EPOCH + Duration::from_secs(253_402_300_800)),
            Sent::Text("253402300800".to_owned()),
        ),
        (Value::from(-7_i64), Sent::Number("-7".to_owned())),
        (Value::from(u64::MAX), Sent::Number("18446744073709551615".to_owned())),
        (Value::from(1e21), Sent::Number("1000000000000000000000".to_owned())),
        (Value::number("0.1"), Sent::Number("0.1".to_owned())),
        (Value::from(["a"]), Sent::List(v1::TextList { values: vec!["a".to_owned()] })),
        (Value::list(Vec::<String>::new()), Sent::List(v1::TextList { values: Vec::new() })),
    ] {
        assert_eq!(text(value), Some(sent));
    }
}

/// Small alphabets, so that questions which differ little are common.
fn questions() -> impl Strategy<Value = Request> {
    let word = || "[ab:]{0,3}";
    let value = prop_oneof![
        word().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        word().prop_map(Value::number),
        prop::collection::vec(word(), 0..3).prop_map(Value::from),
    ];
    let context = prop::collection::vec((word(), value), 0..3);
    let session = prop::option::of((prop::collection::vec(word(), 0..2), word(), 0..3_u64));
    let rest = (word(), 0..2_u64, any::<bool>());
    (word(), word(), word(), context, session, rest).prop_map(
        |(principal, action, resource, context, session, (account, generation, statements))| {
            let mut request = Request::new(principal, action, resource)
                .resource_account(account)
                .min_generation(generation);
            for (key, value) in context {
                request = request.context(key, value);
            }
            if let Some((policies, tag, seconds)) = session {
                let mut session =
                    Session::new().tag(tag.clone(), tag).issued_at(UNIX_EPOCH + Duration::from_secs(seconds));
                for policy in policies {
                    session = session.policy(policy);
                }
                request = request.session(session);
            }
            if statements { request.with_statements() } else { request }
        },
    )
}

proptest! {
    /// The bytes of a question name it: they are the same each time, and no other question has them.
    #[test]
    fn different_questions_have_different_bytes(asked in prop::collection::vec(questions(), 2..20)) {
        let mut bytes = BTreeSet::new();
        let mut different: Vec<&Request> = Vec::new();
        for request in &asked {
            prop_assert_eq!(request.message.encode_to_vec(), request.clone().message.encode_to_vec());
            let read = v1::AuthorizeRequest::decode(request.message.encode_to_vec().as_slice()).unwrap();
            prop_assert_eq!(&read, &request.message);
            bytes.insert(request.message.encode_to_vec());
            if !different.contains(&request) {
                different.push(request);
            }
        }
        prop_assert_eq!(bytes.len(), different.len());
    }
}
