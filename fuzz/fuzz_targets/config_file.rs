//! libFuzzer's entry to the check `config_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("config_file", bytes));
