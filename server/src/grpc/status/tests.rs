//! Each refusal carries its details and stays small.

use super::*;

#[test]
fn every_refusal_has_one_error_info() {
    let all = [
        Refusal::field("principal", "is empty"),
        Refused::NotReady.into(),
        Refused::Generation { asked: 2, active: 1 }.into(),
        Refusal::Revision,
        Refusal::Policies(Vec::new()),
        Refusal::Shed,
        Refusal::Late,
        Refusal::Draining,
        Refusal::Unrecorded,
        Refusal::Broken,
    ];
    for refusal in all {
        let status = refusal.clone().into_status();
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.domain, "portcullis", "{refusal:?}");
        assert_ne!(status.code(), Code::Ok, "{refusal:?}");
        let item = refusal.into_item();
        assert_eq!((item.code, item.reason), (status.code().into(), info.reason.clone()));
    }
}

#[test]
fn a_status_fits_a_client_s_header_limit() {
    let many =
        (0..1000).map(|_| Violation { field: "f".repeat(5000), description: "ä".repeat(5000) }).collect();
    let status = Refusal::from(Refused::Malformed(many)).into_status();
    assert_eq!(status.get_error_details().bad_request().unwrap().field_violations.len(), 16);
    assert!(status.message().contains("and 999 more"));
    // Base64 makes a third more of it; 16 KiB is what HTTP/2 clients accept unless told otherwise.
    assert!(
        status.details().len() * 4 / 3 + status.message().len() * 3 < 16 << 10,
        "{}",
        status.details().len()
    );
}
