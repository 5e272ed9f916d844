// Products by cooperative matrices, f16 factors and f32 sums. The first four subgroups of a workgroup, two by two, compute a
// tile of TILE_M rows by TILE_N columns, each SPAN × SPAN matrices of it; both factors pass through workgroup memory, DEPTH of
// the inner size at a time. A workgroup has at least four subgroups, whatever their size; those beyond help with everything
// but products (a loop of one round or none, as in tile_matrices.wgsl). All of that memory is vectors, since a matrix is read and
// written at multiples of 16 bytes.
const SPAN: u32 = 4u;
const TILE_M: u32 = 2u * SPAN * MATRIX;
const TILE_N: u32 = TILE_M;
const DEPTH: u32 = 2u * MATRIX;
// Rows in workgroup memory are a little longer than their contents, so that a column is not in one bank; in vectors.
const LEFT_STRIDE: u32 = DEPTH / PACK + 2u;
const SUM_STRIDE: u32 = MATRIX / PACK + 1u;

var<workgroup> left: array<vec4<f16>, TILE_M * LEFT_STRIDE>; // (TILE_M, DEPTH)
var<workgroup> right: array<vec4<f16>, RIGHT_SIZE>;
var<workgroup> sums: array<vec4<f32>, 4u * MATRIX * SUM_STRIDE>; // a matrix of each subgroup

fn multiply(wg: vec3<u32>, invocation: Invocation) {
    let lane = invocation.lane;
    let wave = min(invocation.wave, 3u);
    let outputs = params.n / PACK;
    let row0 = wg.y * TILE_M;
    let pack0 = wg.x * (TILE_N / PACK);
    let wave_row = (wave / 2u) * SPAN * MATRIX;
    let wave_column = (wave % 2u) * SPAN * MATRIX;
    var acc: array<array<Sum, SPAN>, SPAN>;
    let range = inputs_of_part(wg.z);
    for (var i = range.x; i < range.y; i += DEPTH / PACK) {
        workgroupBarrier();
        // Past the inner size both factors are zero: zero times what lies there might be none.
        for (var at = lane; at < TILE_M * (DEPTH / PACK); at += WG_SIZE) {
            let row = at / (DEPTH / PACK);
            let d = at % (DEPTH / PACK);
            var value = ElemPack();
            if (i + d < range.y) {
                value = x[x_at(min(row0 + row, params.m - 1u), i + d)];
            }
            left[row * LEFT_STRIDE + d] = value;
        }
        for (var at = lane; at < TILE_N * (DEPTH / PACK); at += WG_SIZE) {
            stage_weight(at, i, range.y, pack0);
        }
        workgroupBarrier();
        for (var w = invocation.wave; w < 4u; w += 4u) {
            for (var d = 0u; d < DEPTH; d += MATRIX) {
                var factor: array<Right, SPAN>;
                for (var c = 0u; c < SPAN; c++) {
                    factor[c] = weight_matrix(d, wave_column + c * MATRIX);
                }
                for (var r = 0u; r < SPAN; r++) {
                    let base = (wave_row + r * MATRIX) * LEFT_STRIDE + d / PACK;
                    let rows = coopLoadT<Left>(&left[base], LEFT_STRIDE);
                    for (var c = 0u; c < SPAN; c++) {
                        acc[r][c] = coopMultiplyAdd(rows, factor[c], acc[r][c]);
                    }
                }
            }
        }
    }
    for (var r = 0u; r < SPAN; r++) {
        for (var c = 0u; c < SPAN; c++) {
            workgroupBarrier();
            for (var w = invocation.wave; w < 4u; w += 4u) {
                coopStoreT(acc[r][c], &sums[wave * MATRIX * SUM_STRIDE], SUM_STRIDE);
            }
            workgroupBarrier();
            // All invocations store, each vectors of one of the four matrices.
            for (var at = lane; at < 4u * MATRIX * (MATRIX / PACK); at += WG_SIZE) {
                let of_wave = at / (MATRIX * (MATRIX / PACK));
                let own = at / (MATRIX / PACK) % MATRIX;
                let vector = at % (MATRIX / PACK);
                let row = row0 + ((of_wave / 2u) * SPAN + r) * MATRIX + own;
                let pack = pack0 + ((of_wave % 2u) * SPAN + c) * (MATRIX / PACK) + vector;
                if (row < params.m && pack < outputs) {
                    store(wg.z, row, pack, sums[(of_wave * MATRIX + own) * SUM_STRIDE + vector]);
                }
            }
        }
    }
}
