//! The saved policy set of an earlier process: whole or not used, whatever its bytes.

use portcullis_store::fuzzing::{is_record, record_of_body};

fn field(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend((bytes.len() as u64).to_le_bytes());
    body.extend(bytes);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut body = Vec::new();
    for bytes in [b"0.1.0".as_slice(), b"/policies", &1_770_000_000_u64.to_le_bytes(), &[7; 32]] {
        field(&mut body, bytes);
    }
    let empty = body.clone();
    field(&mut body, b"a.json");
    // Four bytes of length, then one run of literals.
    field(&mut body, b"\x02\0\0\0\x20{}");
    vec![empty, body, Vec::new(), vec![0xff; 64]]
}

pub(crate) fn check(body: &[u8]) {
    // A record cannot be made by chance: the digest is over everything.
    assert!(!is_record(body));
    let Some(sources) = record_of_body(body) else { return };
    // lz4 gives at most 255 bytes for one.
    let most = body.len() * 255 + 64;
    assert!(sources.iter().all(|(_, length)| *length <= most), "{sources:?} of {} bytes", body.len());
}
