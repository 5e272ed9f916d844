//! burn on its wgpu backend, through `burn::tensor`.

use crate::library::{Call, Library, Result, Results};
use crate::rows::{Inputs, Op, swapped};
use burn_tensor::activation::softmax;
use burn_tensor::module::{attention, layer_norm};
use burn_tensor::ops::AttentionModuleOptions;
use burn_tensor::{Bool, Device, DeviceKind, Tensor, TensorData};
use foveal::Caps;
use foveal::gpu::AdapterClass;

pub struct Burn {
    device: Device,
}

impl Burn {
    /// burn on foveal's adapter, or why that cannot be had.
    pub fn new(caps: &Caps) -> Result<Self> {
        let kind = match caps.class {
            AdapterClass::Software => DeviceKind::Cpu,
            AdapterClass::Integrated | AdapterClass::Apple => DeviceKind::IntegratedGpu(0),
            _ => DeviceKind::DiscreteGpu(0),
        };
        let (device, setup) = Device::wgpu_options().device_kind(kind).init_with_setup()?;
        let info = setup.adapter.get_info();
        let found = (info.name.as_str(), info.backend.to_string());
        if found != (caps.adapter.as_str(), caps.backend.clone()) {
            return Err(format!(
                "burn took {} on {}, foveal {} on {}: choose the adapter with --adapter",
                found.0, found.1, caps.adapter, caps.backend
            )
            .into());
        }
        Ok(Self { device })
    }

    fn upload<const D: usize>(&self, values: Vec<f32>, dims: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, dims), &self.device)
    }

    /// A call of a function that returns its tensors. Attention's four axes come with the heads first.
    fn call<const D: usize>(&self, run: impl Fn() -> Vec<Tensor<D>> + 'static) -> Result<Call> {
        let device = self.device.clone();
        device.sync().map_err(|e| format!("{e:?}"))?;
        Ok(Box::new(move || {
            let tensors = run();
            device.sync().map_err(|e| format!("{e:?}"))?;
            let read = move || tensors.into_iter().map(values).collect();
            Ok(Box::new(read) as Results)
        }))
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let dims = tensor.dims();
    let values = tensor.into_data().try_to_vec::<f32>().map_err(|e| format!("{e:?}"))?;
    Ok(match dims[..] {
        [batch, heads, seq, dim] => swapped(&values, [batch, heads, seq, dim]),
        _ => values,
    })
}

impl Library for Burn {
    fn name(&self) -> String {
        format!("burn {} wgpu", crate::library::version("burn-tensor"))
    }

    fn function(&self, op: &Op) -> &'static str {
        match op {
            Op::Matmul { .. } => "Tensor::matmul, w (k, n)",
            Op::Attention { backward: false, masked: false, .. } => "module::attention",
            Op::Attention { backward: false, .. } => "module::attention, bool mask",
            // Of 0.22, whose autodiff takes the composed path whatever the mask.
            Op::Attention { masked: false, .. } => "module::attention, autodiff",
            Op::Attention { .. } => "module::attention, autodiff, bool mask",
            Op::LayerNorm { .. } => "module::layer_norm",
            Op::Softmax { .. } => "activation::softmax",
        }
    }

    fn prepare(&self, op: &Op, inputs: &Inputs) -> Result<Call> {
        let input = |at: usize| inputs.tensors[at].clone();
        match *op {
            Op::Matmul { m, n, k, .. } => {
                let (x, w) = (self.upload(input(0), [m, k]), self.upload(input(1), [k, n]));
                self.call(move || vec![x.clone().matmul(w.clone())])
            }
            Op::Attention { batch, heads, seq_q, seq_kv, dim, masked, backward } => {
                let heads_first = |at: usize, seq: usize| {
                    let values = swapped(&inputs.tensors[at], [batch, seq, heads, dim]);
                    self.upload(values, [batch, heads, seq, dim])
                };
                let [q, k, v] = [(0, seq_q), (1, seq_kv), (2, seq_kv)].map(|(at, seq)| heads_first(at, seq));
                let d_o = heads_first(3, seq_q);
                let mask = masked.then(|| {
                    let row = |q: usize| (0..seq_kv).map(move |key| inputs.hides(q, key, seq_q, seq_kv));
                    let values: Vec<bool> =
                        (0..batch * heads).flat_map(|_| (0..seq_q).flat_map(row)).collect();
                    let data = TensorData::new(values, [batch, heads, seq_q, seq_kv]);
                    Tensor::<4, Bool>::from_data(data, &self.device)
                });
                let attend = move |q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>| {
                    let options = AttentionModuleOptions::default();
                    attention(q.clone(), k.clone(), v.clone(), mask.clone(), None, options)
                };
                if !backward {
                    return self.call(move || vec![attend(&q, &k, &v)]);
                }
                let [q, k, v] = [q, k, v].map(|x| x.autodiff().require_grad());
                let d_o = d_o.autodiff();
                self.call(move || {
                    let o = attend(&q, &k, &v);
                    // The gradient of this sum by o is d_o.
                    let gradients = (o.clone() * d_o.clone()).sum().backward();
                    let of_inputs = [&q, &k, &v].into_iter().filter_map(|x| x.grad(&gradients));
                    [o.clone().inner()].into_iter().chain(of_inputs).collect()
                })
            }
            Op::LayerNorm { rows, cols } => {
                let x = self.upload(input(0), [rows, cols]);
                let (scale, shift) = (self.upload(input(1), [cols]), self.upload(input(2), [cols]));
                let eps = f64::from(crate::EPS);
                self.call(move || vec![layer_norm(x.clone(), scale.clone(), Some(shift.clone()), eps)])
            }
            Op::Softmax { rows, cols } => {
                let x = self.upload(input(0), [rows, cols]);
                self.call(move || vec![softmax(x.clone(), 1)])
            }
        }
    }
}
