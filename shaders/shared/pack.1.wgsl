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
