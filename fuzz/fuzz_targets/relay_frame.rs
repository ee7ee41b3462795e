#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    crsqlite_sync_fuzz::entries::relay_frame(data);
});
