// Two elements at a time: the pairs that a rotary position turns.
const PACK: u32 = 2u;
alias Pack = vec2<f32>;
alias ElemPack = Elem2;

fn widen(v: ElemPack) -> Pack {
    return widen2(v);
}

fn narrow(v: Pack) -> ElemPack {
    return narrow2(v);
}

fn pack_first(v: Pack) -> f32 {
    return v.x;
}

fn pack_sum(v: Pack) -> f32 {
    return v.x + v.y;
}

fn pack_max(v: Pack) -> f32 {
    return max(v.x, v.y);
}

// exp, of which WGSL does not promise that what is no number stays none.
fn pack_exp(v: Pack) -> Pack {
    let bits = bitcast<vec2<u32>>(v) & vec2<u32>(0x7fffffffu);
    return select(exp(v), v, bits > vec2<u32>(0x7f800000u));
}
