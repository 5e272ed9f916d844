// dx[b, i, :] = Σ_j (dy[b, i, j] + dy[b, j, i]) x[b, j, :]
//
// One invocation writes one pack.
struct Params {
    batch: u32,
    rows: u32,
    packs: u32, // of a row
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (batch, rows, dim)
@group(0) @binding(1) var<storage, read> dy: array<f32>; // (batch, rows, rows)
@group(0) @binding(2) var<storage, read_write> dx: array<ElemPack>; // (batch, rows, dim)

alias Term = Pack;

@compute @workgroup_size(WG_SIZE)
fn gram_backward(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let at = number_of(workgroup) * WG_SIZE + lane;
    if (at < params.batch * params.rows * params.packs) {
        let row = at / params.packs;
        let b = row / params.rows;
        let i = row % params.rows;
        let plane = b * params.rows * params.rows;
        var sum: Cascade;
        for (var j = 0u; j < params.rows; j++) {
            let d = dy[plane + i * params.rows + j] + dy[plane + j * params.rows + i];
            sum = with_term(sum, d * widen(x[(b * params.rows + j) * params.packs + at % params.packs]));
        }
        dx[at] = narrow(sum_of(sum));
    }
}
