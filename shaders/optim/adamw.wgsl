// p ← p · (1 − lr·decay)
// m ← β₁ m + (1 − β₁) g
// v ← β₂ v + (1 − β₂) g²
// p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//
// One invocation updates one element; what depends on the step number t alone comes from the host.
struct Params {
    count: u32,
    keep: f32, // 1 − lr·decay
    beta1: f32,
    fresh1: f32, // 1 − β₁
    beta2: f32,
    fresh2: f32, // 1 − β₂
    step_size: f32, // lr / (1 − β₁ᵗ)
    root_scale: f32, // 1 / √(1 − β₂ᵗ)
    eps: f32,
}

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>; // (n)
@group(0) @binding(1) var<storage, read> gradient: array<f32>; // (n)
@group(0) @binding(2) var<storage, read_write> first_moment: array<f32>; // (n)
@group(0) @binding(3) var<storage, read_write> second_moment: array<f32>; // (n)

@compute @workgroup_size(WG_SIZE)
fn adamw(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = number_of(workgroup) * WG_SIZE + lane;
    if (i < params.count) {
        let g = gradient[i];
        let m = params.beta1 * first_moment[i] + params.fresh1 * g;
        let v = params.beta2 * second_moment[i] + params.fresh2 * g * g;
        first_moment[i] = m;
        second_moment[i] = v;
        parameter[i] = params.keep * parameter[i] - params.step_size * m / (sqrt(v) * params.root_scale + params.eps);
    }
}
