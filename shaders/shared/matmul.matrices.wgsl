// Products by cooperative matrices, f16 factors and f32 sums. Four subgroups, two by two, compute a tile of TILE_M rows by
// TILE_N columns, each SPAN × SPAN matrices of it; both factors pass through workgroup memory, DEPTH of the inner size at
// a time.
const SPAN: u32 = 4u;
const TILE_M: u32 = 2u * SPAN * MATRIX;
const TILE_N: u32 = TILE_M;
const DEPTH: u32 = 2u * MATRIX;
const LANES: u32 = WG_SIZE / 4u;
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank.
const LEFT_STRIDE: u32 = DEPTH + 8u;
const SUM_STRIDE: u32 = MATRIX + 4u;

var<workgroup> left: array<f16, TILE_M * LEFT_STRIDE>; // (TILE_M, DEPTH)
var<workgroup> right: array<f16, RIGHT_SIZE>;
var<workgroup> sums: array<f32, 4u * MATRIX * SUM_STRIDE>; // a matrix of each subgroup

fn multiply(wg: vec3<u32>, lane: u32) {
    let outputs = params.n / PACK;
    let wave = lane / LANES;
    let row0 = (wg.y + params.first_workgroup) * TILE_M;
    let pack0 = wg.x * (TILE_N / PACK);
    let wave_row = (wave / 2u) * SPAN * MATRIX;
    let wave_column = (wave % 2u) * SPAN * MATRIX;
    var acc: array<array<Sum, SPAN>, SPAN>;
    let range = inputs_of_part(wg.z);
    for (var i = range.x; i < range.y; i += DEPTH / PACK) {
        workgroupBarrier();
        for (var at = lane; at < TILE_M * (DEPTH / PACK); at += WG_SIZE) {
            let row = at / (DEPTH / PACK);
            let d = at % (DEPTH / PACK);
            // Past the inner size one factor is zero and the other anything finite.
            var value = ElemPack();
            if (i + d < range.y) {
                value = x[x_at(min(row0 + row, params.m - 1u), i + d)];
            }
            let to = row * LEFT_STRIDE + d * PACK;
            left[to] = value.x;
            left[to + 1u] = value.y;
            left[to + 2u] = value.z;
            left[to + 3u] = value.w;
        }
        for (var at = lane; at < TILE_N * (DEPTH / PACK); at += WG_SIZE) {
            stage_weight(at, i, pack0);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d += MATRIX) {
            var factor: array<Right, SPAN>;
            for (var c = 0u; c < SPAN; c++) {
                factor[c] = weight_matrix(d, wave_column + c * MATRIX);
            }
            for (var r = 0u; r < SPAN; r++) {
                let rows = coopLoadT<Left>(&left[(wave_row + r * MATRIX) * LEFT_STRIDE + d], LEFT_STRIDE);
                for (var c = 0u; c < SPAN; c++) {
                    acc[r][c] = coopMultiplyAdd(rows, factor[c], acc[r][c]);
                }
            }
        }
    }
    let sum_at = wave * MATRIX * SUM_STRIDE;
    for (var r = 0u; r < SPAN; r++) {
        for (var c = 0u; c < SPAN; c++) {
            workgroupBarrier();
            coopStoreT(acc[r][c], &sums[sum_at], SUM_STRIDE);
            workgroupBarrier();
            for (var at = lane % LANES; at < MATRIX * MATRIX / PACK; at += LANES) {
                let own = at / (MATRIX / PACK);
                let vector = at % (MATRIX / PACK);
                let row = row0 + wave_row + r * MATRIX + own;
                let pack = pack0 + (wave_column + c * MATRIX) / PACK + vector;
                let s = sum_at + own * SUM_STRIDE + vector * PACK;
                if (row < params.m && pack < outputs) {
                    store(wg.z, row, pack, vec4<f32>(sums[s], sums[s + 1u], sums[s + 2u], sums[s + 3u]));
                }
            }
        }
    }
}
