//! libFuzzer's entry to the check `session_policies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("session_policies", bytes));
