// y = epilogue(Σ shares): a product from what parts of its inner size have of it.
struct Params {
    m: u32,
    n: u32,
    parts: u32,
    rows_per_group: u32, // rows that share a gate
    first_workgroup_x: u32, // of a dispatch that is one of several
    first_workgroup_y: u32,
    first_workgroup_z: u32,
}

const FACTORS: u32 = 1u; // bindings before those of the results
// Parts of which one sum is taken.
const BLOCK_PARTS: u32 = 128u;

@group(0) @binding(0) var<storage, read> shares: array<Pack>; // (parts, m, n)

fn y_at(row: u32, pack: u32) -> u32 {
    return row * (params.n / PACK) + pack;
}

fn column_at(pack: u32) -> u32 {
    return pack;
}

@compute @workgroup_size(WG_SIZE)
fn matmul_join(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let packs = params.n / PACK;
    let at = of_whole(workgroup).x * WG_SIZE + lane;
    if (at >= params.m * packs) {
        return;
    }
    var total = Pack();
    for (var first = 0u; first < params.parts; first += BLOCK_PARTS) {
        var block = Pack();
        for (var part = first; part < min(first + BLOCK_PARTS, params.parts); part++) {
            block += shares[part * params.m * packs + at];
        }
        total += block;
    }
    store(0u, at / packs, at % packs, total);
}
