// y = exp(scale (x - max(x))) / Σ exp(scale (x - max(x))) over each row; a row with nothing above MASKED gives zeros.
//
// One workgroup a row, online: running maximum and sum in one pass, the quotient in a second.
struct Params {
    rows: u32,
    packs: u32, // of a row
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

const MASKED: f32 = -3.4e38;

// Masked values and -inf become one finite number, so that differences stay numbers.
fn value(at: u32) -> Pack {
    return max(widen(x[at]), Pack(MASKED));
}

@compute @workgroup_size(WG_SIZE)
fn softmax(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) wgs: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wg.y * wgs.x + wg.x;
    if (row < params.rows) {
        let first = row * params.packs;
        var peak = Pack(MASKED);
        var total = Pack(0.0);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            let v = value(first + i);
            let higher = max(peak, v);
            total = total * exp(params.scale * (peak - higher)) + exp(params.scale * (v - higher));
            peak = higher;
        }
        let row_peak = reduce_max(pack_max(peak), lane);
        let row_total = reduce_sum(pack_sum(total * exp(params.scale * (peak - row_peak))), lane);
        let share = select(0.0, 1.0 / row_total, row_peak > MASKED);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            y[first + i] = narrow(exp(params.scale * (value(first + i) - row_peak)) * share);
        }
    }
}
