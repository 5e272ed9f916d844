//! Memory of a guided step: a read of the map with its gradient by the latent must not pay for a map.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::Tape;
use foveal::kernels::temporal::{TemporalObjective, temporal_loss};
use foveal::models::wan::{Capture, WanConfig, WanOptions};
use foveal::{AdapterChoice, Context, ContextOptions, HostTensor, Tensor};
use kernels_tests::random_wan;

/// Sizes that a test varies.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    heads: usize,
    text_len: usize,
    /// Tokens are `3 · side²`.
    side: usize,
}

const DIM: usize = 64;
const LAYERS: usize = 3;
const FRAMES: usize = 3;

fn config(s: Sizes) -> WanConfig {
    let json = format!(
        r#"{{"model_type":"t2v","dim":{DIM},"ffn_dim":128,"freq_dim":32,"text_dim":24,"text_len":{},"num_heads":{},
            "num_layers":{LAYERS},"in_dim":4,"out_dim":4,"patch_size":[1,2,2],"eps":1e-6,"qk_norm":true,"cross_attn_norm":true}}"#,
        s.text_len, s.heads
    );
    WanConfig::from_bytes("config.json", json.as_bytes()).unwrap()
}

/// Bytes that one guided step needs on top of weights and text.
fn guided_step(s: Sizes) -> u64 {
    let options = ContextOptions { adapter: AdapterChoice::Best, ..Default::default() };
    let context = pollster::block_on(Context::new(options)).unwrap();
    let wan = random_wan(&context, config(s), |_, _| ());
    let text = wan.text(&HostTensor::zeros([5, 24])).unwrap();
    let time = wan.time(900.0).unwrap();
    pollster::block_on(context.finish()).unwrap();
    let before = context.memory().live;
    context.reset_peak();

    let latent = foveal::pipelines::sampling::noise(1, [4, FRAMES, 2 * s.side, 2 * s.side]);
    let mut weights = vec![0.0; s.text_len];
    weights[2] = 1.0;
    let capture = Capture { weights, groups: 1, layer_divisor: LAYERS as f32, map_only: true };
    let mut tape = Tape::record();
    let leaf = tape.leaf(Tensor::from_host(&context, &latent).unwrap());
    let asked = WanOptions { capture: Some(&capture), ..WanOptions::default() };
    let map = wan.forward(&mut tape, &leaf, &time, &text, asked).unwrap().map.unwrap();
    let masks = Tensor::from_f32(&context, [1, FRAMES], &[0.0, 0.0, 1.0]).unwrap();
    let outcome = temporal_loss(map.tensor(), &masks, &TemporalObjective::released()).unwrap();
    let gradient = tape.backward(&[(&map, outcome.grad)]).unwrap().of(&leaf).unwrap().unwrap();
    let gradient = pollster::block_on(gradient.to_vec()).unwrap();
    assert!(
        gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|&g| g != 0.0),
        "no gradient reached the latent"
    );
    context.memory().peak - before
}

const BASE: Sizes = Sizes { heads: 4, text_len: 32, side: 8 };

fn tokens(s: Sizes) -> u64 {
    (FRAMES * s.side * s.side) as u64
}

#[test]
fn text_length_costs_no_map() {
    let (short, long) = (guided_step(BASE), guided_step(Sizes { text_len: 512, ..BASE }));
    // One map of one layer would be heads × tokens × 480 more positions of four bytes.
    let map = 4 * BASE.heads as u64 * tokens(BASE) * 480;
    assert!(
        long.saturating_sub(short) < map / 20,
        "{short} bytes with 32 positions, {long} with 512; one map is {map}"
    );
}

#[test]
fn heads_cost_their_row_statistics_only() {
    let (few, many) = (
        guided_step(Sizes { heads: 2, text_len: 256, ..BASE }),
        guided_step(Sizes { heads: 16, text_len: 256, ..BASE }),
    );
    // Statistics of 14 more heads: lse kept for two attentions a layer, lse and delta while a gradient runs.
    let statistics = 14 * tokens(BASE) * 4 * (2 * LAYERS as u64 + 6);
    let map = 14 * tokens(BASE) * 256 * 4;
    assert!(
        many.saturating_sub(few) < statistics.min(map / 4),
        "{few} bytes with 2 heads, {many} with 16; one map is {map} more"
    );
}

#[test]
fn tokens_cost_in_proportion() {
    let sizes = [8, 16].map(|side| Sizes { text_len: 256, side, ..BASE });
    let [small, large] = sizes.map(|s| guided_step(s) as f64);
    // Four times the tokens: four times the activations, give or take the pool's rounding; a map of self-attention
    // would be sixteen times.
    assert!(
        large < 4.6 * small,
        "{small} bytes for {} tokens, {large} for {}",
        tokens(sizes[0]),
        tokens(sizes[1])
    );
}
