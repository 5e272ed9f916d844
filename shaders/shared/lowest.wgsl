// The lowest number, where a maximum begins: WGSL has no infinity.
const LOWEST: f32 = -3.4028234663852886e38;
