//! libFuzzer's entry to the check `connection_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("connection_bytes", bytes));
