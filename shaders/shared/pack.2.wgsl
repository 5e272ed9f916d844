// Two elements at a time: the pairs that a rotary position turns.
const PACK: u32 = 2u;
alias Pack = vec2<f32>;
alias ElemPack = vec2<Elem>;

fn pack_first(v: Pack) -> f32 {
    return v.x;
}

fn pack_sum(v: Pack) -> f32 {
    return v.x + v.y;
}

fn pack_max(v: Pack) -> f32 {
    return max(v.x, v.y);
}
