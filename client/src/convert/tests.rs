//! Only a whole, understood Allow allows.

use super::*;

fn response(decision: i32, reason: i32) -> v1::AuthorizeResponse {
    v1::AuthorizeResponse { decision, reason, ..v1::AuthorizeResponse::default() }
}

#[test]
fn exactly_one_pair_of_decision_and_reason_allows() {
    for decision_number in -1..10 {
        for reason_number in -1..10 {
            let allowed = said(response(decision_number, reason_number)).is_ok_and(|said| said.allowed);
            let expected =
                decision_number == v1::Decision::Allow as i32 && reason_number == v1::Reason::Allowed as i32;
            assert_eq!(allowed, expected, "decision {decision_number}, reason {reason_number}");
        }
    }
}

#[test]
fn an_empty_answer_is_an_error() {
    assert!(said(v1::AuthorizeResponse::default()).is_err());
    assert!(result(v1::AuthorizeResult::default()).is_err());
}

#[test]
fn a_deny_for_an_unknown_reason_is_a_deny() {
    let said = said(response(v1::Decision::Deny as i32, 99)).unwrap();
    assert!(!said.allowed);
    assert_eq!(said.reason, Reason::Unknown);
}
