#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    crsqlite_sync_fuzz::entries::push_pull_frame(data);
});
