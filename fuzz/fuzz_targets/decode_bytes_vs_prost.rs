//! libFuzzer's entry to the check `decode_bytes_vs_prost`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portcullis_fuzz_checks::run("decode_bytes_vs_prost", bytes));
