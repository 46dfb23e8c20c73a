//! The borrowing reader of questions against prost: what it reads, prost reads as the same, and what prost writes it reads.

use portcullis_proto::v1;
use portcullis_server::fuzzing::{authorize_agrees, batch_agrees, streamed_agrees};
use prost::Message;

use crate::seed;

/// Items of one batch.
const ITEMS_MAX: usize = 16;

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (at, case) in seed::cases().iter().enumerate() {
        let question = question(case);
        let kind = at % 3;
        let mut bytes = vec![kind as u8];
        bytes.extend(match kind {
            0 => question.encode_to_vec(),
            1 => batch(question).encode_to_vec(),
            _ => streamed(question).encode_to_vec(),
        });
        seeds.push(bytes);
    }
    seed::distinct(seeds.into_iter())
}

fn batch(question: v1::AuthorizeRequest) -> v1::BatchAuthorizeRequest {
    let v1::AuthorizeRequest { principal, action, resource, context, resource_account, session, .. } =
        question;
    let own = v1::BatchAuthorizeItem {
        principal: String::new(),
        action,
        resource,
        context: context.clone(),
        resource_account,
        session: None,
    };
    let items = vec![own.clone(), v1::BatchAuthorizeItem::default(), own];
    v1::BatchAuthorizeRequest { principal, session, context, items, min_generation: 7, detail: 1 }
}

fn streamed(question: v1::AuthorizeRequest) -> v1::AuthorizeStreamRequest {
    v1::AuthorizeStreamRequest { correlation_id: "c-1".to_owned(), request: Some(question) }
}

fn question(case: &serde_json::Value) -> v1::AuthorizeRequest {
    use serde_json::Value;
    use v1::context_value::Value as Sent;
    let request = &case["Request"];
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let context = request["Context"].as_object().into_iter().flatten().map(|(key, value)| {
        let sent = match value {
            Value::Bool(value) => Sent::Boolean(*value),
            Value::Number(value) => Sent::Number(value.to_string()),
            Value::Array(values) => Sent::List(v1::TextList { values: values.iter().map(plain).collect() }),
            value => Sent::Text(plain(value)),
        };
        (key.clone(), v1::ContextValue { value: Some(sent) })
    });
    let session = request["Session"].as_object().map(|session| v1::Session {
        policies: session
            .get("Policies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(plain)
            .collect(),
        tags: session
            .get("Tags")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
        transitive_tag_keys: vec!["team".to_owned()],
        ..v1::Session::default()
    });
    v1::AuthorizeRequest {
        principal: text("Principal"),
        action: text("Action"),
        resource: text("Resource"),
        resource_account: text("ResourceAccount"),
        context: context.collect(),
        session,
        min_generation: 3,
        detail: 2,
    }
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    // An entry of the context that is a value that is a list, as short as can be, very often; then lengths that lie.
    let mut deep = Vec::new();
    for _ in 0..10_000 {
        let length = deep.len();
        let mut outer = vec![0x32];
        prost::encoding::encode_varint(length as u64, &mut outer);
        outer.append(&mut deep);
        deep = outer;
        if deep.len() > 1 << 16 {
            break;
        }
    }
    vec![
        [&[0_u8][..], &[0x22, 0x04, 0x12, 0x02, 0x12, 0x00].repeat(1 << 16)].concat(),
        [&[1_u8][..], &[0x22, 0x00].repeat(1 << 17)].concat(),
        [&[0_u8][..], &[0x32, 0x02, 0x1a, 0x00].repeat(1 << 16)].concat(),
        [&[0_u8][..], &[0x22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]].concat(),
        [&[0_u8][..], &[0x80; 1 << 16]].concat(),
        [&[0_u8][..], &[0x43; 1 << 16]].concat(),
        [&[2_u8][..], &deep].concat(),
    ]
}

/// The kind of message, then the message.
pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => agree::<v1::AuthorizeRequest>(message, authorize_agrees, |_| true),
        1 => {
            let few = |batch: &v1::BatchAuthorizeRequest| batch.items.len() <= ITEMS_MAX;
            agree(message, |bytes| batch_agrees(bytes, ITEMS_MAX), few);
        }
        _ => agree::<v1::AuthorizeStreamRequest>(message, streamed_agrees, |_| true),
    }
}

fn agree<M: Message + Default + std::fmt::Debug>(
    bytes: &[u8],
    agrees: impl Fn(&[u8]) -> Result<bool, String>,
    within: impl Fn(&M) -> bool,
) {
    if let Err(difference) = agrees(bytes) {
        panic!("{difference}");
    }
    // In prost's own writing the same message has to be read, not only not misread.
    if let Ok(message) = M::decode(bytes)
        && within(&message)
    {
        assert_eq!(agrees(&message.encode_to_vec()), Ok(true), "{message:?}");
    }
}
