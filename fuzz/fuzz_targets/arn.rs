//! libFuzzer's entry to the check `arn`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("arn", bytes));
