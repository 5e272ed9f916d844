// y = x scale, one scale vector a group of rows: row r uses group r / rows_per_group.
//
// Each invocation takes STEPS packs, a workgroup's width apart.
struct Params {
    packs: u32,
    row_packs: u32, // of a row
    group_packs: u32, // of rows_per_group rows
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read> scale: array<Pack>; // (groups, cols)
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

@compute @workgroup_size(WG_SIZE)
fn channel_scale(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            let group = i / params.group_packs;
            y[i] = narrow(widen(x[i]) * scale[group * params.row_packs + i % params.row_packs]);
        }
    }
}
