//! libFuzzer's entry to the check `token_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("token_file", bytes));
