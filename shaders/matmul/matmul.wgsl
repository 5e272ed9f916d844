// y = epilogue(x · op(w)), op(w) = wᵀ for w (n, k) when WEIGHT_ROWS is the output, else w (k, n).
//
// Each invocation computes ROWS × TILE_N results in registers. Neighbouring invocations take neighbouring rows, so
// every weight is read at one address by the whole workgroup.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    rows_per_group: u32, // rows that share a gate
    first_workgroup: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>; // (m, k)
@group(0) @binding(1) var<storage, read> w: array<Elem>; // (n, k) or (k, n)

fn x_at(row: u32, i: u32) -> vec4<f32> {
    let at = row * params.k + i;
    return vec4<f32>(f32(x[at]), f32(x[at + 1u]), f32(x[at + 2u]), f32(x[at + 3u]));
}

@compute @workgroup_size(WG_SIZE)
fn matmul(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>) {
    let n0 = wg.x * TILE_N;
    let m0 = ((wg.y + params.first_workgroup) * WG_SIZE + lid.x) * ROWS;
    var acc: array<array<f32, TILE_N>, ROWS>;
    let whole = params.k / 4u * 4u;
    for (var i = 0u; i < whole; i += 4u) {
        var xv: array<vec4<f32>, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            xv[r] = x_at(min(m0 + r, params.m - 1u), i);
        }
        for (var c = 0u; c < TILE_N; c++) {
            let wv = w_at(i, min(n0 + c, params.n - 1u));
            for (var r = 0u; r < ROWS; r++) {
                acc[r][c] += dot(xv[r], wv);
            }
        }
    }
    for (var i = whole; i < params.k; i++) {
        for (var c = 0u; c < TILE_N; c++) {
            let wv = w_one(i, min(n0 + c, params.n - 1u));
            for (var r = 0u; r < ROWS; r++) {
                acc[r][c] += f32(x[min(m0 + r, params.m - 1u) * params.k + i]) * wv;
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        for (var c = 0u; c < TILE_N; c++) {
            if (m0 + r < params.m && n0 + c < params.n) {
                store(m0 + r, n0 + c, acc[r][c]);
            }
        }
    }
}
