// y = exp(scale (x - max(x))) / Σ exp(scale (x - max(x))) over each row; a row with nothing above ABSENT gives zeros, and one
// with something that is no number is no number throughout.
//
// One workgroup a row, online: running maximum and sum in one pass, the quotient in a second.
struct Params {
    rows: u32,
    packs: u32, // of a row
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (rows, cols)

// Values up to this one count as masked.
const ABSENT: f32 = -3.4e38;
// Packs of which an invocation takes one sum: many terms that are alike, added one by one, lose the same digit each time.
const BLOCK: u32 = 128u;

// Masked values and -inf become one finite number, so that differences stay numbers. What is no number stays none.
fn value(at: u32) -> Pack {
    let v = widen(x[at]);
    return select(v, Pack(ABSENT), v < Pack(ABSENT));
}

// The share of a value before the sum of all is known.
fn weight(v: Pack, peak: Pack) -> Pack {
    return select(pack_exp(params.scale * (v - peak)), Pack(0.0), v <= Pack(ABSENT));
}

@compute @workgroup_size(WG_SIZE)
fn softmax(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let first = row * params.packs;
        var peak = Pack(ABSENT);
        var total = Pack(0.0);
        for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
            var block = Pack(0.0);
            let before = peak;
            for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
                let v = value(first + i);
                let higher = max(peak, v);
                block = block * exp(params.scale * (peak - higher)) + weight(v, higher);
                peak = higher;
            }
            total = total * exp(params.scale * (before - peak)) + block;
        }
        let row_peak = reduce_max(pack_max(peak), lane);
        let row_total = reduce_sum(pack_sum(total * exp(params.scale * (peak - row_peak))), lane);
        let share = select(1.0 / row_total, 0.0, row_total == 0.0);
        for (var i = lane; i < params.packs; i += WG_SIZE) {
            y[first + i] = narrow(weight(value(first + i), Pack(row_peak)) * share);
        }
    }
}
