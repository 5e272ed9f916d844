//! A transformer made up for a test.

use crate::numerics::rng;
use foveal::Context;
use foveal::models::wan::keys::WanParam;
use foveal::models::wan::{Wan, WanConfig, WanFormat, WanWeights};
use foveal::nn::Precision;
use foveal::weights::WeightStore;
use rand_distr::{Distribution, StandardNormal};
use safetensors::tensor::{Dtype, TensorView};

/// A transformer with random weights in the original format, the same on each call; `change` sees each tensor's key and
/// values before they are written.
pub fn random_wan(
    context: &Context,
    config: WanConfig,
    precision: Precision,
    change: impl Fn(&str, &mut [f32]),
) -> Wan {
    let mut rng = rng("random wan");
    let mut tensors = Vec::new();
    for param in WanParam::all(&config) {
        let (key, shape) = (WanFormat::Original.key(param), param.shape(&config));
        let value = |_| -> f32 {
            let x: f32 = StandardNormal.sample(&mut rng);
            x * 0.1
        };
        let mut values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        change(&key, &mut values);
        tensors.push((key, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()));
    }
    let views = tensors
        .iter()
        .map(|(key, shape, bytes)| (key, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    let store = WeightStore::from_bytes("random.safetensors", file).unwrap();
    Wan::with_precision(context, &WanWeights::new(&store, config).unwrap(), precision).unwrap()
}
