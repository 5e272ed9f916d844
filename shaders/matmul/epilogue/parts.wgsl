// y[part] = the part's share of x·w, in f32
@group(0) @binding(FACTORS) var<storage, read_write> y: array<Pack>; // (parts, m, n)

fn store(part: u32, row: u32, pack: u32, value: Pack) {
    y[(part * params.m + row) * (params.n / PACK) + pack] = value;
}
