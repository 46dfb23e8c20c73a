//! libFuzzer's entry to the check `pattern_vs_reference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("pattern_vs_reference", bytes));
