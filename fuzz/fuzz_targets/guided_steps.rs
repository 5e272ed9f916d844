#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kernels_tests::hostile::guided_steps(data));
