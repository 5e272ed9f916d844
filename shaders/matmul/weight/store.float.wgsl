// Weights lie in memory as the head's WeightElem.
alias Weight4 = vec4<WeightElem>;

fn widen_weight4(v: Weight4) -> vec4<f32> {
    return vec4<f32>(v);
}
