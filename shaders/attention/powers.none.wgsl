// Factors of matrices lie in memory as f16: they are staged as they are, and no row has a power of two.
const LIFTED: bool = false;

fn half_of(v: Elem4, lift: f32) -> vec4<f16> {
    return v;
}

fn expect_rows(lane: u32) {}

fn expect_tile(lane: u32) {}

fn note(at: u32, magnitude: f32) {}

fn lift_at(at: u32) -> f32 {
    return 1.0;
}

fn power_at(at: u32) -> f32 {
    return 1.0;
}

fn keep_own_powers(which: u32, lane: u32) {}

fn own_power(which: u32, row: u32) -> f32 {
    return 1.0;
}

fn keep_powers(which: u32, lane: u32) {}

fn kept_powers(which: u32, at: u32) -> vec4<f32> {
    return vec4<f32>(1.0);
}
