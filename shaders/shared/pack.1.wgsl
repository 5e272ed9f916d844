// One element at a time: rows of any length.
const PACK: u32 = 1u;
alias Pack = f32;
alias ElemPack = Elem;

fn pack_first(v: Pack) -> f32 {
    return v;
}

fn pack_sum(v: Pack) -> f32 {
    return v;
}

fn pack_max(v: Pack) -> f32 {
    return v;
}
