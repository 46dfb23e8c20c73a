//! libFuzzer's entry to the check `policy_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("policy_json", bytes));
