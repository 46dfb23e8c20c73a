//! libFuzzer's entry to the check `reload_sequence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("reload_sequence", bytes));
