//! Which errors are worth asking again, and which may be passed over.

use super::*;

fn refused(code: Code, reason: &str) -> Error {
    let (reason, message) = (reason.to_owned(), String::new());
    Error::Refused { code, reason, message, violations: Vec::new() }
}

#[test]
fn a_decision_that_must_not_be_told_is_not_passed_over() {
    for (error, transient, leaves_open) in [
        (Error::Unreachable(String::new()), true, true),
        (Error::Timeout(Duration::ZERO), true, true),
        (refused(Code::Unavailable, "NO_POLICY_SET"), true, true),
        (refused(Code::ResourceExhausted, "OVERLOADED"), true, true),
        (refused(Code::Unavailable, "NOT_RECORDED"), true, false),
        (refused(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"), false, false),
        (refused(Code::InvalidArgument, "MALFORMED_REQUEST"), false, false),
        (refused(Code::Unauthenticated, ""), false, false),
        (Error::Answer(""), false, false),
    ] {
        assert_eq!((error.is_transient(), error.leaves_open()), (transient, leaves_open), "{error:?}");
    }
}
