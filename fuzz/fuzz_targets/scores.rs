#![no_main]

// The fuzzer's hook ends the process at every panic, also where the library's is caught and turned into an error; a panic
// that reaches the fuzzer still counts.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| ())),
    |data: &[u8]| kernels_tests::hostile::scores(data)
);
