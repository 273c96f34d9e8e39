#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lagg_fuzz::events::run(data));
