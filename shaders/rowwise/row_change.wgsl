// change[r] = 1 - cos(x[r], x[r - distance]): how unlike a row is to the one so many before. Rows without one there change by FIRST.
//
// One workgroup a row.
struct Params {
    rows: u32,
    packs: u32, // of a row
    distance: u32, // rows
}

// Above any other change, so that rows that nothing precedes come first.
const FIRST: f32 = 255.0;
// Rows are squared in a unit in which that neither overflows nor vanishes.
const LARGE: f32 = 0x1p50;
const SMALL: f32 = 0x1p-50;
const BLOCK: u32 = 128u; // packs of which an invocation takes one sum

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (rows, cols)
@group(0) @binding(1) var<storage, read_write> change: array<f32>; // (rows)

fn unit_of(first: u32, lane: u32) -> f32 {
    var largest = 0.0;
    for (var i = lane; i < params.packs; i += WG_SIZE) {
        largest = max(largest, pack_max(abs(widen(x[first + i]))));
    }
    let all = reduce_max(largest, lane);
    return select(select(1.0, 0x1p78, all < SMALL), 0x1p-78, all > LARGE);
}

@compute @workgroup_size(WG_SIZE)
fn row_change(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let row = number_of(workgroup);
    if (row < params.rows) {
        let own = row * params.packs;
        // A row that nothing precedes is compared with itself, which nobody reads.
        let follows = row >= params.distance;
        let other = select(row, row - params.distance, follows) * params.packs;
        let own_unit = unit_of(own, lane);
        let other_unit = unit_of(other, lane);
        var product = Pack(0.0);
        var own_squares = Pack(0.0);
        var other_squares = Pack(0.0);
        for (var start = lane; start < params.packs; start += WG_SIZE * BLOCK) {
            var products = Pack(0.0);
            var own_block = Pack(0.0);
            var other_block = Pack(0.0);
            for (var i = start; i < min(start + WG_SIZE * BLOCK, params.packs); i += WG_SIZE) {
                let a = widen(x[own + i]) * own_unit;
                let b = widen(x[other + i]) * other_unit;
                products += a * b;
                own_block += a * a;
                other_block += b * b;
            }
            product += products;
            own_squares += own_block;
            other_squares += other_block;
        }
        let dot = reduce_sum(pack_sum(product), lane);
        let own_square = reduce_sum(pack_sum(own_squares), lane);
        let other_square = reduce_sum(pack_sum(other_squares), lane);
        // A row of zeros is like nothing; beside what is no number it is none either.
        let none = (own_square == 0.0 || other_square == 0.0) && !is_nan(dot);
        let cosine = dot * inverseSqrt(own_square) * inverseSqrt(other_square);
        let within = select(clamp(cosine, -1.0, 1.0), cosine, is_nan(cosine));
        if (lane == 0u) {
            change[row] = select(FIRST, 1.0 - select(within, 0.0, none), follows);
        }
    }
}
