//! libFuzzer's entry to the check `simulate_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("simulate_line", bytes));
