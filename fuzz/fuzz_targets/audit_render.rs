//! libFuzzer's entry to the check `audit_render`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("audit_render", bytes));
