//! What is read out of a question, and what is wrong with one.

use super::*;

#[test]
fn a_number_is_what_a_numeric_condition_reads() {
    let wrong = |number: &str| {
        let mut batch = one_item();
        let value = v1::ContextValue { value: Some(v1::context_value::Value::Number(number.to_owned())) };
        batch.items[0].context.insert("app:amount".to_owned(), value);
        let cache = SessionPolicyCache::new(0, engine::LoadMode::Lenient);
        let message = BatchMessage::from(&batch);
        super::batch(&message, 1, &cache).unwrap().item(&message.items[0], &cache).is_err()
    };
    for text in ["0", "-1", "+1", "12.50", "010", "123456789012345678901234567890"] {
        assert!(!wrong(text), "{text}");
    }
    for text in ["", "-", "1.", ".5", "0x1", "NaN", "inf", "1e", "1e9", "1.5E-3", " 1", "1 ", "--1"] {
        assert!(wrong(text), "{text}");
    }
}

/// The violations of the first item of a batch.
fn wrong_with_first_item(batch: &v1::BatchAuthorizeRequest) -> Vec<(String, String)> {
    let cache = SessionPolicyCache::new(0, engine::LoadMode::Lenient);
    let message = BatchMessage::from(batch);
    let decoded = super::batch(&message, 100, &cache).unwrap();
    let now = Instant::new(0, 0);
    let refused = match decoded.item(&message.items[0], &cache) {
        Ok(question) => question.check(now, OwnedKeys::Refuse).map(drop).unwrap_err(),
        Err(refused) => refused,
    };
    let Refused::Malformed(wrong) = refused else { panic!("{refused:?}") };
    wrong.into_iter().map(|Violation { field, description }| (field, description)).collect()
}

fn one_item() -> v1::BatchAuthorizeRequest {
    let item = v1::BatchAuthorizeItem {
        principal: "arn:aws:sts::123456789012:assumed-role/r/s".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::b/k".to_owned(),
        ..Default::default()
    };
    v1::BatchAuthorizeRequest { items: vec![item], ..Default::default() }
}

#[test]
fn any_number_of_keys_is_one_violation() {
    let keys = |prefix: &str, count: usize| -> std::collections::BTreeMap<_, _> {
        let value = || v1::ContextValue { value: Some(v1::context_value::Value::Text("v".to_owned())) };
        (0..count).map(|number| (format!("{prefix}{number}"), value())).collect()
    };
    let too_many = [("context".to_owned(), "has more than 256 keys".to_owned())];
    for (shared, own) in [
        (keys("a", 257), keys("a", 257)),
        (keys("a", 200), keys("b", 57)),
        (keys("a", 9_000), keys("A", 9_000)),
        (keys("a", 9_000), keys("b", 0)),
        (keys("a", 0), keys("b", 9_000)),
    ] {
        let mut batch = one_item();
        batch.context = shared;
        batch.items[0].context = own;
        assert_eq!(wrong_with_first_item(&batch), too_many);
    }
    let mut batch = one_item();
    batch.items[0].context = keys("a", 9_000);
    batch.items[0].context.values_mut().for_each(|value| value.value = None);
    assert_eq!(wrong_with_first_item(&batch).len(), 257, "no more of them are looked at");
}

#[test]
fn what_is_wrong_with_a_shared_session_is_bounded_however_large_it_is() {
    let mut batch = one_item();
    let tags = (0..9_000).map(|number| (format!("t{number}"), String::new())).collect();
    let transitive_tag_keys = (0..9_000).map(|number| format!("u{number}")).collect();
    let policies = vec!["{".to_owned(); 9_000];
    batch.session = Some(v1::Session { tags, transitive_tag_keys, policies, ..Default::default() });
    let wrong = wrong_with_first_item(&batch);
    assert_eq!(wrong[0].0, "session.transitive_tag_keys");
    assert_eq!(wrong[0].1, "has more than 50 entries");
    assert_eq!(wrong[1].0, "session.policies");
    assert_eq!(wrong.len(), 17);
    let session = batch.session.as_mut().unwrap();
    session.policies.clear();
    session.transitive_tag_keys.clear();
    let too_many = ("session.tags".to_owned(), "has more than 50 entries".to_owned());
    assert_eq!(wrong_with_first_item(&batch), [too_many]);
}

#[test]
fn a_shared_session_that_cannot_be_used_fails_only_the_items_that_use_it() {
    let mut batch = one_item();
    batch.session = Some(v1::Session { policies: vec!["{".to_owned()], ..Default::default() });
    batch
        .items
        .push(v1::BatchAuthorizeItem { session: Some(v1::Session::default()), ..batch.items[0].clone() });
    let cache = SessionPolicyCache::new(0, engine::LoadMode::Lenient);
    let message = BatchMessage::from(&batch);
    let decoded = super::batch(&message, 100, &cache).unwrap();
    assert!(decoded.item(&message.items[0], &cache).is_err());
    assert!(decoded.item(&message.items[1], &cache).is_ok());
}

#[test]
fn times_outside_of_protobuf_s_range_are_refused() {
    let time = |seconds, nanos| instant("t", &prost_types::Timestamp { seconds, nanos });
    assert!(time(0, 999_999_999).is_ok());
    assert!(time(0, 1_000_000_000).is_err());
    assert!(time(0, -1).is_err());
    assert!(time(253_402_300_800, 0).is_err());
    assert!(time(i64::MIN, 0).is_err());
}
