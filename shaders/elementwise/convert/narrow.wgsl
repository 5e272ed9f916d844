// f32 to Elem.
@group(0) @binding(0) var<storage, read> x: array<Pack>; // (n)
@group(0) @binding(1) var<storage, read_write> y: array<ElemPack>; // (n)

fn converted(i: u32) -> ElemPack {
    return narrow(x[i]);
}
