// Elem to f32.
@group(0) @binding(0) var<storage, read> x: array<ElemPack>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<Pack>; // (n)

fn converted(i: u32) -> Pack {
    return widen(x[i]);
}
