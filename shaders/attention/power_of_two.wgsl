// Gradients are as small as the loss makes them, and f16 has no exponents to spare: they are stored relative to the power
// of two at or below the largest magnitude of their row, renewed only where a tile outgrows it by SLACK, and LIFT times as
// large, so that what many small ones have together is not lost in numbers below 6e-5: up to 2 · SLACK · LIFT.
const SLACK: f32 = 16.0;
const LIFT: f32 = 1024.0;

// The largest power of two that is not above a positive number; 0 for 0 and what is smaller than normal numbers.
fn power_of_two(value: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value) & 0x7f800000u);
}

fn outgrown(largest: f32, reference: f32) -> bool {
    return power_of_two(largest) > reference * SLACK || (reference == 0.0 && power_of_two(largest) > 0.0);
}

fn inverse_of(reference: f32) -> f32 {
    return select(0.0, 1.0 / reference, reference > 0.0);
}
