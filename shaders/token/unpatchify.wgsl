// x[c, f·PT + pt, h·PH + ph, w·PW + pw] = y[token, feature], token = (f, h, w) row-major over the patches and
// feature = (c, pt, ph, pw) when CHANNEL_FIRST, else (pt, ph, pw, c).
//
// One invocation copies one element of x.
@group(0) @binding(0) var<storage, read> y: array<Elem>; // (tokens, channels · patch)
@group(0) @binding(1) var<storage, read_write> x: array<Elem>; // (channels, frames, height, width)

fn join(channel: u32, inner: u32, patch_size: u32) -> u32 {
    if (CHANNEL_FIRST) {
        return channel * patch_size + inner;
    }
    return inner * params.channels + channel;
}

@compute @workgroup_size(WG_SIZE)
fn unpatchify(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    let p = params;
    if (i < p.channels * p.frames * p.height * p.width) {
        let column = i % p.width;
        let row = i / p.width % p.height;
        let frame = i / (p.width * p.height) % p.frames;
        let channel = i / (p.width * p.height * p.frames);

        let columns = p.width / p.patch_width;
        let rows = p.height / p.patch_height;
        let token = (frame / p.patch_frames * rows + row / p.patch_height) * columns + column / p.patch_width;
        let inner = (frame % p.patch_frames * p.patch_height + row % p.patch_height) * p.patch_width
            + column % p.patch_width;
        let patch_size = p.patch_frames * p.patch_height * p.patch_width;
        x[i] = y[token * p.channels * patch_size + join(channel, inner, patch_size)];
    }
}
