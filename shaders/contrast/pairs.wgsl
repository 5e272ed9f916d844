// What the loss of pairs and its gradient read: how alike rows are, and which pairs shall be or shall not.
struct Params {
    batch: u32,
    rows: u32,
    sharpness: f32, // 1 / temperature
}

@group(0) @binding(0) var<storage, read> similarity: array<f32>; // (batch, rows, rows)
@group(0) @binding(1) var<storage, read> positives: array<f32>; // (rows, rows)
@group(0) @binding(2) var<storage, read> negatives: array<f32>; // (rows, rows)

alias Term = f32;

// Above 0. What is no number counts, so that it is seen.
fn counts(weight: f32) -> bool {
    return !(weight <= 0.0);
}
