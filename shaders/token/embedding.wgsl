// y[i, :] = table[ids[i], :]
//
// One invocation copies one pack as it is stored. Ids past the table read its last row; the host refuses them beforehand
// where it sees them.
struct Params {
    vocab: u32,
    row_packs: u32,
    packs: u32, // tokens × row_packs
}

@group(0) @binding(0) var<storage, read> table: array<ElemPack>; // (vocab, dim)
@group(0) @binding(1) var<storage, read> ids: array<u32>; // (tokens)
@group(0) @binding(2) var<storage, read_write> y: array<ElemPack>; // (tokens, dim)

@compute @workgroup_size(WG_SIZE)
fn embedding(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.packs) {
        let row = min(ids[i / params.row_packs], params.vocab - 1u);
        y[i] = table[row * params.row_packs + i % params.row_packs];
    }
}
