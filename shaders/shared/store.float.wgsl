// Numbers lie in memory as the head's Elem.
alias Elem2 = vec2<Elem>;
alias Elem4 = vec4<Elem>;

fn widen2(v: Elem2) -> vec2<f32> {
    return vec2<f32>(v);
}

fn widen4(v: Elem4) -> vec4<f32> {
    return vec4<f32>(v);
}

fn narrow2(v: vec2<f32>) -> Elem2 {
    return Elem2(v);
}

fn narrow4(v: vec4<f32>) -> Elem4 {
    return Elem4(v);
}
