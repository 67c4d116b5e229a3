//! libFuzzer's way into [`freehold_fuzz::lock_programs`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::lock_programs(data));
