//! libFuzzer's entry to the check `request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("request", bytes));
