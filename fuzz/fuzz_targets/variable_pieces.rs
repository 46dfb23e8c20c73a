//! libFuzzer's entry to the check `variable_pieces`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("variable_pieces", bytes));
