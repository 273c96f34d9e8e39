#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lagg_fuzz::requests::run(data));
