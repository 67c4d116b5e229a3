//! libFuzzer's way into [`freehold_fuzz::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::decode(data));
