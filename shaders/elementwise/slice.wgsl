// y[o, i, :] = x[o, start + i, :], or that laid back into zeros: y[o, start + i, :] = x[o, i, :].
//
// Each invocation takes STEPS packs of y, a workgroup's width apart. A run is what one `o` owns.
struct Params {
    packs: u32, // of y
    x_run: u32, // packs
    y_run: u32,
    start: u32, // packs before the slice in the longer run
    count: u32, // packs of the slice
}

@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (outer, x rows, inner)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (outer, y rows, inner)

@compute @workgroup_size(WG_SIZE)
fn slice(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    for (var step = 0u; step < STEPS; step++) {
        let i = pack_at(workgroup, lane, step);
        if (i < params.packs) {
            let run = i / params.y_run;
            let at = i % params.y_run;
            if (!PADS) {
                y[i] = x[run * params.x_run + params.start + at];
            } else if (at >= params.start && at < params.start + params.count) {
                y[i] = x[run * params.x_run + at - params.start];
            } else {
                y[i] = narrow(Pack(0.0));
            }
        }
    }
}
