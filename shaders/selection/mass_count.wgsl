// How few of a group's largest scores sum to a share of all: the smallest k with Σ of the k largest >= share Σ.
//
// One workgroup takes a group. The bits of the smallest score that is needed are found from the top: a bit is set where what is
// at least as large as the number so far still sums to the share. What is negative or no number counts as 0.
struct Params {
    groups: u32,
    n: u32, // scores of a group
    share: f32,
}

@group(0) @binding(0) var<storage, read> scores: array<f32>; // (groups, n)
@group(0) @binding(1) var<storage, read_write> counts: array<u32>; // (groups)

alias Term = f32;

fn mass_of(v: f32) -> f32 {
    return select(0.0, v, v > 0.0 && !is_nan(v));
}

// Sum and number of the scores that are at least `low`, or above it.
fn from_above(first: u32, n: u32, low: u32, equal_too: bool, lane: u32) -> vec2<f32> {
    var values: Cascade;
    var count = 0u;
    for (var i = lane; i < n; i += WG_SIZE) {
        let v = mass_of(scores[first + i]);
        let bits = bitcast<u32>(v);
        let there = bits > low || (equal_too && bits == low);
        values = with_term(values, select(0.0, v, there));
        count += select(0u, 1u, there);
    }
    let sum = reduce_sum(sum_of(values), lane);
    return vec2<f32>(sum, reduce_sum(f32(count), lane));
}

@compute @workgroup_size(WG_SIZE)
fn mass_count(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    // The rounded-up grid has workgroups past the last group: they read nothing.
    let there = number_of(workgroup) < params.groups;
    let group = min(number_of(workgroup), params.groups - 1u);
    let n = select(0u, params.n, there);
    let first = group * params.n;

    // All of it is all that is above 0, though sums may not tell the last ones.
    let positive = from_above(first, n, 0u, false, lane);
    let goal = params.share * positive.x;
    var least = 0u;
    for (var bit = 1u << 30u; bit > 0u; bit >>= 1u) {
        let sum = from_above(first, n, least | bit, true, lane).x;
        least = select(least, least | bit, sum >= goal);
    }
    let above = from_above(first, n, least, false, lane);
    let equal = from_above(first, n, least, true, lane).y - above.y;
    // Of the least ones as many as are needed; one where their sum is infinite.
    let more = (goal - above.x) / bitcast<f32>(least);
    let some = select(1.0, clamp(ceil(more), 1.0, equal), more <= equal);
    if (lane == 0u && there) {
        let enough = select(0u, u32(above.y + some), goal > 0.0);
        counts[group] = select(enough, u32(positive.y), params.share >= 1.0);
    }
}
