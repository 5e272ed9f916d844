// The ids of the k largest scores of each group, ascending; of equal scores those of lower ids.
//
// One workgroup takes a group. Four passes over its scores find the k-th largest, a digit of 256 at a time from the top; one
// more writes what is above it and as many of its equals as there is room for. Counts are integers, so their order in the
// histogram does not matter.
struct Params {
    groups: u32,
    n: u32, // scores of a group
    size: u32, // of ids
    first_id: u32, // of the first score
}

@group(0) @binding(0) var<storage, read> scores: array<u32>; // (groups, n), bits of f32: tiny numbers stay what they are
@group(0) @binding(1) var<storage, read> quotas: array<u32>; // (groups, 2): k, and the place of the group's first id
@group(0) @binding(2) var<storage, read_write> ids: array<u32>; // (size)

const DIGITS: u32 = 256u;
// Scores that an invocation takes one after the other where they are written.
const RUN: u32 = 8u;

var<workgroup> histogram: array<atomic<u32>, DIGITS>;
// The digit in which the k-th largest lies, and how many of the largest lie in it.
var<workgroup> digit_of: vec2<u32>;

@compute @workgroup_size(WG_SIZE)
fn top_k(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    // The rounded-up grid has workgroups past the last group: they read nothing.
    let there = number_of(workgroup) < params.groups;
    let group = min(number_of(workgroup), params.groups - 1u);
    let n = select(0u, params.n, there);
    let first = group * params.n;
    let k = min(quotas[2u * group], n);

    var threshold = 0u;
    var wanted = k;
    for (var pass_number = 0u; pass_number < 4u; pass_number++) {
        let shift = 24u - 8u * pass_number;
        for (var digit = lane; digit < DIGITS; digit += WG_SIZE) {
            atomicStore(&histogram[digit], 0u);
        }
        if (lane == 0u) {
            digit_of = vec2<u32>(0u);
        }
        workgroupBarrier();
        for (var i = lane; i < n; i += WG_SIZE) {
            let key = order_key(scores[first + i]);
            // What is above the digit must be that of the threshold so far.
            if (pass_number == 0u || (key >> ((shift + 8u) & 31u)) == threshold) {
                atomicAdd(&histogram[(key >> shift) & 255u], 1u);
            }
        }
        workgroupBarrier();
        // Each invocation owns some digits, the highest ones first.
        let own = DIGITS / WG_SIZE;
        var count = 0u;
        for (var j = 0u; j < own; j++) {
            count += atomicLoad(&histogram[255u - (lane * own + j)]);
        }
        var above = sum_before(count, lane);
        for (var j = 0u; j < own; j++) {
            let digit = 255u - (lane * own + j);
            let here = atomicLoad(&histogram[digit]);
            if (above < wanted && wanted <= above + here) {
                digit_of = vec2<u32>(digit, wanted - above);
            }
            above += here;
        }
        workgroupBarrier();
        threshold = (threshold << 8u) | digit_of.x;
        wanted = digit_of.y;
        workgroupBarrier();
    }

    // How many lie before, above the threshold and equal to it.
    var greater = 0u;
    var equal = 0u;
    for (var start = 0u; start < n; start += WG_SIZE * RUN) {
        let begin = start + lane * RUN;
        // Both counts of a step fit half of a word.
        var own = 0u;
        for (var j = 0u; j < RUN; j++) {
            if (begin + j < n) {
                let key = order_key(scores[first + begin + j]);
                own += select(select(0u, 1u << 16u, key == threshold), 1u, key > threshold);
            }
        }
        let before = sum_before(own, lane);
        var own_greater = greater + (before & 0xffffu);
        var own_equal = equal + (before >> 16u);
        for (var j = 0u; j < RUN; j++) {
            if (begin + j < n) {
                let key = order_key(scores[first + begin + j]);
                let is_greater = key > threshold;
                let is_equal = key == threshold;
                let place = quotas[2u * group + 1u] + own_greater + min(own_equal, wanted);
                if (k > 0u && (is_greater || (is_equal && own_equal < wanted)) && place < params.size) {
                    ids[place] = params.first_id + first + begin + j;
                }
                own_greater += select(0u, 1u, is_greater);
                own_equal += select(0u, 1u, is_equal);
            }
        }
        let all = sum_of_all();
        greater += all & 0xffffu;
        equal += all >> 16u;
    }
}
