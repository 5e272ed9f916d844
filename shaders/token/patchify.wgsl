// y[token, feature] = x[c, f·PT + pt, h·PH + ph, w·PW + pw], token = (f, h, w) row-major over the patches and
// feature = (c, pt, ph, pw) when CHANNEL_FIRST, else (pt, ph, pw, c).
//
// One invocation copies one element of y.
@group(0) @binding(0) var<storage, read> x: array<Elem>; // (channels, frames, height, width)
@group(0) @binding(1) var<storage, read_write> y: array<Elem>; // (tokens, channels · patch)

struct Feature {
    channel: u32,
    inner: u32, // place inside the patch, row-major
}

fn split(feature: u32, patch_size: u32) -> Feature {
    if (CHANNEL_FIRST) {
        return Feature(feature / patch_size, feature % patch_size);
    }
    return Feature(feature % params.channels, feature / params.channels);
}

@compute @workgroup_size(WG_SIZE)
fn patchify(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    let p = params;
    if (i < p.channels * p.frames * p.height * p.width) {
        let patch_area = p.patch_height * p.patch_width;
        let patch_size = p.patch_frames * patch_area;
        let features = p.channels * patch_size;
        let token = i / features;
        let feature = split(i % features, patch_size);

        let columns = p.width / p.patch_width;
        let rows = p.height / p.patch_height;
        let frame = token / (rows * columns) * p.patch_frames + feature.inner / patch_area;
        let row = token / columns % rows * p.patch_height + feature.inner / p.patch_width % p.patch_height;
        let column = token % columns * p.patch_width + feature.inner % p.patch_width;
        y[i] = x[((feature.channel * p.frames + frame) * p.height + row) * p.width + column];
    }
}
