// Sums and maxima over a workgroup through workgroup memory; WG_SIZE is a power of two.
var<workgroup> reduce_scratch: array<f32, WG_SIZE>;

fn reduce_sum(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    reduce_scratch[lane] = value;
    for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            reduce_scratch[lane] += reduce_scratch[lane + half];
        }
    }
    workgroupBarrier();
    return reduce_scratch[0];
}

fn reduce_max(value: f32, lane: u32) -> f32 {
    workgroupBarrier();
    reduce_scratch[lane] = value;
    for (var half = WG_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            reduce_scratch[lane] = max(reduce_scratch[lane], reduce_scratch[lane + half]);
        }
    }
    workgroupBarrier();
    return reduce_scratch[0];
}
