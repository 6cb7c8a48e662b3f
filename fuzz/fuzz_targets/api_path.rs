#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wxgate_fuzz::api_path(data));
