// One element at a time: rows of any length.
const PACK: u32 = 1u;
alias Pack = f32;
alias ElemPack = Elem;

fn widen(v: ElemPack) -> Pack {
    return f32(v);
}

fn narrow(v: Pack) -> ElemPack {
    return Elem(v);
}

fn pack_first(v: Pack) -> f32 {
    return v;
}

fn pack_sum(v: Pack) -> f32 {
    return v;
}

fn pack_max(v: Pack) -> f32 {
    return v;
}

// exp, of which WGSL does not promise that what is no number stays none.
fn pack_exp(v: Pack) -> Pack {
    let bits = bitcast<u32>(v) & u32(0x7fffffffu);
    return select(exp(v), v, bits > u32(0x7f800000u));
}
