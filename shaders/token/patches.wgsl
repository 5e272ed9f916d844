// A video (channels, frames, height, width) and the patches that it is cut into.
struct Params {
    channels: u32,
    frames: u32,
    height: u32,
    width: u32,
    patch_frames: u32,
    patch_height: u32,
    patch_width: u32,
}
