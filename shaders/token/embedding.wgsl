// y[i, :] = table[ids[i], :]
//
// One invocation copies one element. Ids past the table read its last row; the host refuses them beforehand where it
// sees them.
struct Params {
    vocab: u32,
    dim: u32,
    elements: u32, // tokens × dim
}

@group(0) @binding(0) var<storage, read> table: array<Elem>; // (vocab, dim)
@group(0) @binding(1) var<storage, read> ids: array<u32>; // (tokens)
@group(0) @binding(2) var<storage, read_write> y: array<Elem>; // (tokens, dim)

@compute @workgroup_size(WG_SIZE)
fn embedding(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
) {
    let i = (wg.y * groups.x + wg.x) * WG_SIZE + lid.x;
    if (i < params.elements) {
        let row = min(ids[i / params.dim], params.vocab - 1u);
        y[i] = table[row * params.dim + i % params.dim];
    }
}
