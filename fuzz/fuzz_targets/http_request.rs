//! libFuzzer's way into [`freehold_fuzz::http_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::http_request(data));
