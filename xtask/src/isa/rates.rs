//! What a card does in a cycle, as its makers and those who measured it publish: no number of ours.
//!
//! All are of one SIMD (a partition of NVIDIA's multiprocessor), which has its own scheduler, vector and matrix unit and a
//! part of what its neighbours share.

/// Rates of a card. Cycles are of a SIMD.
#[derive(Debug)]
pub(super) struct Rates {
    /// What the clock and the memory are of.
    pub(super) model: &'static str,
    /// Of a product of 16 × 16 × 16 with f16 factors and f32 sums; none without such a unit.
    pub(super) matrix: Option<f64>,
    /// Products of that size a matrix instruction.
    pub(super) products: f64,
    /// Whether the matrix unit works beside vector instructions or in their turn.
    pub(super) beside: bool,
    /// Whether what computes for a whole subgroup, and jumps, take turns of the vector unit.
    pub(super) one_issue: bool,
    /// Invocations that take one cycle of a vector instruction, and of one that is not a plain one.
    pub(super) lanes: f64,
    pub(super) transcendental_lanes: f64,
    /// Bytes a cycle of workgroup memory and of the first cache.
    pub(super) local: f64,
    pub(super) memory: f64,
    /// The whole card's SIMDs, its boost clock in GHz, and its memory's GB a second.
    pub(super) simds: f64,
    pub(super) clock: f64,
    pub(super) dram: f64,
}

/// RDNA: 32 lanes a SIMD, a quarter of them for transcendentals; two SIMDs share 128 bytes a cycle of workgroup memory and 64
/// of the first cache (AMD, "RDNA Performance Guide" and the white papers on RDNA and RDNA2; ISA guides of each). That RDNA3
/// may issue two multiply-adds at once is left out: only wave32 code of two operands does.
const RDNA2: Rates = Rates {
    model: "Radeon RX 6800",
    matrix: None,
    products: 1.0,
    beside: false,
    one_issue: false,
    lanes: 32.0,
    transcendental_lanes: 8.0,
    local: 64.0,
    memory: 32.0,
    simds: 120.0,
    clock: 2.105,
    dram: 512.0,
};

/// A product takes 32 cycles: 122.8 TFLOP/s of 192 SIMDs at 2.5 GHz (AMD, "How to accelerate AI applications on RDNA 3 using
/// WMMA": 512 operations a cycle a compute unit, which has two SIMDs).
const RDNA3: Rates =
    Rates { model: "Radeon RX 7900 XTX", matrix: Some(32.0), simds: 192.0, clock: 2.5, dram: 960.0, ..RDNA2 };

const PHOENIX: Rates =
    Rates { model: "Radeon 780M, DDR5-5600", simds: 24.0, clock: 2.7, dram: 89.6, ..RDNA3 };

/// A product takes 16: 195 TFLOP/s of 128 SIMDs at 2.97 GHz (AMD's page of the card).
const RDNA4: Rates =
    Rates { model: "Radeon RX 9070 XT", matrix: Some(16.0), simds: 128.0, clock: 2.97, dram: 640.0, ..RDNA3 };

/// A product takes 32: 154.8 TFLOP/s of 336 partitions at 1.8 GHz (NVIDIA, white paper on GA102, RTX A6000). A GeForce has half of
/// that where sums are f32. A scheduler issues one instruction a cycle, and a multiprocessor of four has 128 bytes a cycle of
/// workgroup memory or cache.
const GA102: Rates = Rates {
    model: "RTX A6000",
    matrix: Some(32.0),
    products: 0.5,
    beside: true,
    one_issue: true,
    lanes: 32.0,
    transcendental_lanes: 32.0,
    local: 32.0,
    memory: 32.0,
    simds: 336.0,
    clock: 1.8,
    dram: 768.0,
};

/// By the name of a card. Honeykrisp prints no code, and Qualcomm publishes no rates.
pub(super) fn of(card: &str) -> Option<&'static Rates> {
    match card {
        "navi31" | "navi31-sid" => Some(&RDNA3),
        "navi21" => Some(&RDNA2),
        "gfx1201" => Some(&RDNA4),
        "phoenix" => Some(&PHOENIX),
        "ga102" => Some(&GA102),
        _ => None,
    }
}

impl Rates {
    /// Operations a second at most, of matrices where it has them and a text uses them, else of multiply-adds.
    pub(super) fn peak(&self, matrices: bool) -> f64 {
        let cycle = match self.matrix.filter(|_| matrices) {
            Some(cycles) => 2.0 * 16.0 * 16.0 * 16.0 / cycles,
            None => 2.0 * self.lanes,
        };
        cycle * self.simds * self.clock * 1e9
    }
}
