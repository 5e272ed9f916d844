// Factors of matrices lie in memory as f16: they are staged as they are.
const LIFTED: bool = false;
const MOST_LIFT: f32 = 1.0;

fn half_of(v: ElemPack, lift: f32) -> vec4<f16> {
    return v;
}

fn half_of_weight(v: Weight4, lift: f32) -> vec4<f16> {
    return v;
}

// Number e of four vectors.
fn half_of_column(a: Weight4, b: Weight4, c: Weight4, d: Weight4, e: u32, lift: f32) -> vec4<f16> {
    return vec4<f16>(a[e], b[e], c[e], d[e]);
}

fn expect_rows(lane: u32) {}

fn renewed(lift: f32, v: vec4<f32>, at: u32, there: bool, slab: u32, any: bool, lane: u32) -> f32 {
    return 1.0;
}

fn are_renewed(slab: u32) -> bool {
    return false;
}

fn fall_of(at: u32) -> f32 {
    return 1.0;
}

fn settle_rows(lane: u32) {}

fn expect_events(slab: u32, lane: u32) {}

fn of_units(sum: Pack, row: u32, column: u32) -> Pack {
    return sum;
}
