//! libFuzzer's entry to the check `last_good_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("last_good_record", bytes));
