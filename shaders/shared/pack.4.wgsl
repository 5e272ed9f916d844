// Four elements at a time: rows whose length is a multiple of four.
const PACK: u32 = 4u;
alias Pack = vec4<f32>;
alias ElemPack = Elem4;

fn widen(v: ElemPack) -> Pack {
    return widen4(v);
}

fn narrow(v: Pack) -> ElemPack {
    return narrow4(v);
}

fn pack_first(v: Pack) -> f32 {
    return v.x;
}

fn pack_sum(v: Pack) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

fn pack_max(v: Pack) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// exp, of which WGSL does not promise that what is no number stays none.
fn pack_exp(v: Pack) -> Pack {
    let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
    return select(exp(v), v, bits > vec4<u32>(0x7f800000u));
}
