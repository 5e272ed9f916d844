// For every group, with S = sums, s = S / tokens, m = mask, on = {m > τ}, off = {m < τ} (PAPER: m ≤ τ):
//   signal a = (s − min s) / (max s − min s + 1e-6) over all frames
//   r = cov(a, m) / (σ_a σ_m) over frames first .. first + count, σ² = variance + 1e-6
//   positive = −(Σ_on S) / |on|,  negative = (Σ_off S) / |off|            (PAPER divides by the number of frames)
//     LOG_RATIO: −ln(mean of s over on + 1e-8) and ln(mean of s over off + 1e-8): their sum ignores the scale of s
//   entropy = (Σ_on H) / |on|                                             (PAPER divides by the number of frames)
//   flatness = variance(s) / (mean(s) + 1e-8)² over r's frames, for a mask that is one value above τ; else 0
//   total = −w_r r + w_m (positive + negative) + w_e entropy + w_f flatness
// A term over an empty set of frames is 0. dsums and dentropies are the gradient of the mean total over the groups.
// Frames that tie for the minimum or the maximum share its gradient equally.
//
// One invocation works on one group: frames are few.
const EPS_RANGE: f32 = 1e-6;
const EPS_VARIANCE: f32 = 1e-6;
const EPS_SIGNAL: f32 = 1e-8;
const TERMS: u32 = 6u;

alias Term = f32;

struct Params {
    groups: u32,
    frames: u32,
    tokens: f32,
    first: u32, // frames of the correlation
    count: u32,
    tau: f32,
    correlation: f32, // weights
    magnitude: f32,
    entropy: f32,
    flatness: f32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>; // (groups, frames)
@group(0) @binding(1) var<storage, read> entropies: array<f32>; // (groups, frames)
@group(0) @binding(2) var<storage, read> masks: array<f32>; // (groups, frames)
@group(0) @binding(3) var<storage, read_write> terms: array<f32>; // (groups, 6): r, positive, negative, entropy, flatness, total
@group(0) @binding(4) var<storage, read_write> signal: array<f32>; // (groups, frames)
@group(0) @binding(5) var<storage, read_write> dsums: array<f32>; // (groups, frames)
@group(0) @binding(6) var<storage, read_write> dentropies: array<f32>; // (groups, frames)

fn mean_at(row: u32) -> f32 {
    return sums[row] / params.tokens;
}

fn is_on(row: u32) -> bool {
    return masks[row] > params.tau;
}

fn is_off(row: u32) -> bool {
    if (PAPER) {
        return masks[row] <= params.tau;
    }
    return masks[row] < params.tau;
}

// Frames that a mean over `members` frames divides by.
fn divisor(members: f32) -> f32 {
    if (PAPER) {
        return f32(params.frames);
    }
    return members;
}

// Smallest and largest sum of a group, both NaN where a sum is; compared as loaded, so that ties are exact.
struct Range {
    low: f32,
    high: f32,
    at_low: f32, // frames that share the minimum
    at_high: f32,
}

fn range_of(base: u32) -> Range {
    var range = Range(sums[base], sums[base], 0.0, 0.0);
    for (var row = base; row < base + params.frames; row++) {
        range.low = min(range.low, sums[row]);
        range.high = max(range.high, sums[row]);
        if (is_nan(sums[row])) {
            return Range(sums[row], sums[row], 0.0, 0.0);
        }
    }
    for (var row = base; row < base + params.frames; row++) {
        range.at_low += select(0.0, 1.0, sums[row] == range.low);
        range.at_high += select(0.0, 1.0, sums[row] == range.high);
    }
    return range;
}

struct Pearson {
    r: f32,
    mean_signal: f32,
    mean_mask: f32,
    sigma_signal: f32,
    sigma_mask: f32,
}

fn pearson(base: u32) -> Pearson {
    let first = base + params.first;
    let n = f32(params.count);
    var signals: Cascade;
    // Taken from the first value, so that the mean of a constant mask is that constant exactly.
    var shifts: Cascade;
    for (var row = first; row < first + params.count; row++) {
        signals = with_term(signals, signal[row] / n);
        shifts = with_term(shifts, (masks[row] - masks[first]) / n);
    }
    let mean_signal = sum_of(signals);
    let mean_mask = masks[first] + sum_of(shifts);
    var covariance: Cascade;
    var variance_signal: Cascade;
    var variance_mask: Cascade;
    for (var row = first; row < first + params.count; row++) {
        let a = signal[row] - mean_signal;
        let m = masks[row] - mean_mask;
        covariance = with_term(covariance, a * m / n);
        variance_signal = with_term(variance_signal, a * a / n);
        variance_mask = with_term(variance_mask, m * m / n);
    }
    let sigma_signal = sqrt(sum_of(variance_signal) + EPS_VARIANCE);
    let sigma_mask = sqrt(sum_of(variance_mask) + EPS_VARIANCE);
    let r = sum_of(covariance) / (sigma_signal * sigma_mask);
    return Pearson(r, mean_signal, mean_mask, sigma_signal, sigma_mask);
}

fn in_correlation(row: u32, base: u32) -> bool {
    return row >= base + params.first && row < base + params.first + params.count;
}

// ∂(−w_r r) / ∂a at a frame.
fn correlation_slope(row: u32, base: u32, c: Pearson) -> f32 {
    if (!in_correlation(row, base)) {
        return 0.0;
    }
    let m = (masks[row] - c.mean_mask) / (c.sigma_signal * c.sigma_mask);
    let a = c.r * (signal[row] - c.mean_signal) / (c.sigma_signal * c.sigma_signal);
    return -params.correlation * (m - a) / f32(params.count);
}

// One side of the magnitude: its value for the frames' sum, and its derivative by the sum of one of these frames.
struct Side {
    value: f32,
    slope: f32,
}

fn side_of(sum: f32, members: f32) -> Side {
    if (members == 0.0) {
        return Side(0.0, 0.0);
    }
    let n = divisor(members);
    if (LOG_RATIO) {
        let mean = sum / (n * params.tokens) + EPS_SIGNAL;
        return Side(log_of(mean), 1.0 / (mean * n * params.tokens));
    }
    return Side(sum / n, 1.0 / n);
}

fn is_static(base: u32) -> bool {
    var same = is_on(base);
    for (var row = base; row < base + params.frames; row++) {
        same = same && masks[row] == masks[base];
    }
    return same;
}

struct Flatness {
    value: f32,
    mean: f32,
    weight: f32, // 0 for a mask that changes
}

fn flatness_of(base: u32) -> Flatness {
    if (!is_static(base) || params.count == 0u) {
        return Flatness(0.0, 0.0, 0.0);
    }
    let first = base + params.first;
    let n = f32(params.count);
    var means: Cascade;
    for (var row = first; row < first + params.count; row++) {
        means = with_term(means, mean_at(row) / n);
    }
    let mean = sum_of(means);
    var value: Cascade;
    for (var row = first; row < first + params.count; row++) {
        let deviation = (mean_at(row) - mean) / (mean + EPS_SIGNAL);
        value = with_term(value, deviation * deviation / n);
    }
    return Flatness(sum_of(value), mean, params.flatness);
}

// ∂(w_f flatness) / ∂s at a frame.
fn flatness_slope(row: u32, base: u32, f: Flatness) -> f32 {
    if (!in_correlation(row, base)) {
        return 0.0;
    }
    let scale = f.mean + EPS_SIGNAL;
    return f.weight * 2.0 * ((mean_at(row) - f.mean) / scale - f.value) / (scale * f32(params.count));
}

@compute @workgroup_size(WG_SIZE)
fn temporal_loss(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let group = number_of(workgroup) * WG_SIZE + lane;
    if (group >= params.groups) {
        return;
    }
    let base = group * params.frames;
    let end = base + params.frames;

    let range = range_of(base);
    let width = (range.high - range.low) / params.tokens + EPS_RANGE;
    for (var row = base; row < end; row++) {
        signal[row] = (sums[row] - range.low) / params.tokens / width;
    }

    var c = Pearson(0.0, 0.0, 0.0, 1.0, 1.0);
    if (params.count > 0u) {
        c = pearson(base);
    }

    var on_sum: Cascade;
    var off_sum: Cascade;
    var on_entropy: Cascade;
    var on = 0.0;
    var off = 0.0;
    for (var row = base; row < end; row++) {
        if (is_on(row)) {
            on += 1.0;
            on_sum = with_term(on_sum, sums[row]);
            on_entropy = with_term(on_entropy, entropies[row]);
        } else if (is_off(row)) {
            off += 1.0;
            off_sum = with_term(off_sum, sums[row]);
        }
    }
    let positive = side_of(sum_of(on_sum), on);
    let negative = side_of(sum_of(off_sum), off);
    let on_divisor = max(divisor(on), 1.0);
    let entropy = sum_of(on_entropy) / on_divisor;
    let flatness = flatness_of(base);

    let at = group * TERMS;
    terms[at] = c.r;
    terms[at + 1u] = -positive.value;
    terms[at + 2u] = negative.value;
    terms[at + 3u] = entropy;
    terms[at + 4u] = flatness.value;
    terms[at + 5u] = -params.correlation * c.r + params.magnitude * (negative.value - positive.value)
        + params.entropy * entropy + params.flatness * flatness.value;

    // Through the range: a lower minimum or a higher maximum moves every frame's signal.
    var slope_sum: Cascade;
    var weighted_sum: Cascade;
    for (var row = base; row < end; row++) {
        let slope = correlation_slope(row, base, c);
        slope_sum = with_term(slope_sum, slope);
        weighted_sum = with_term(weighted_sum, slope * signal[row]);
    }
    let slopes = sum_of(slope_sum);
    let weighted = sum_of(weighted_sum);
    for (var row = base; row < end; row++) {
        var by_mean = correlation_slope(row, base, c) / width + flatness_slope(row, base, flatness);
        if (sums[row] == range.high) {
            by_mean -= weighted / (width * range.at_high);
        }
        if (sums[row] == range.low) {
            by_mean += (weighted - slopes) / (width * range.at_low);
        }
        var by_sum = by_mean / params.tokens;
        var by_entropy = 0.0;
        if (is_on(row)) {
            by_sum -= params.magnitude * positive.slope;
            by_entropy = params.entropy / on_divisor;
        } else if (is_off(row)) {
            by_sum += params.magnitude * negative.slope;
        }
        dsums[row] = by_sum / f32(params.groups);
        dentropies[row] = by_entropy / f32(params.groups);
    }
}
