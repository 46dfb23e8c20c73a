//! libFuzzer's entry to the check `condition_values`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("condition_values", bytes));
