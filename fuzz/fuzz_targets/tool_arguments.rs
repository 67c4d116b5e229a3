//! libFuzzer's way into [`freehold_fuzz::tool_arguments`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freehold_fuzz::tool_arguments(data));
