//! libFuzzer's way into [`freehold_fuzz::stdio_lines`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::stdio_lines(data));
