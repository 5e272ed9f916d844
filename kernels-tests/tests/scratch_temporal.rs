use foveal::kernels::temporal::{TemporalObjective, TemporalWeights, temporal_loss};
use foveal::{Context, HostTensor, Result, Tensor};
use kernels_tests::golden::{Case, Op, Outputs};
use pollster::block_on;

fn tempo_loss(context: &Context, case: &Case) -> Result<Outputs> {
    let (groups, frames) = (case.usize("groups")?, case.usize("frames")?);
    let tokens = case.usize("height")? * case.usize("width")?;
    let weight = |name: &str| case.f64(&format!("weights.{name}")).map(|v| v as f32);
    let window = case.usizes("pearson_frames")?;
    let objective = TemporalObjective {
        weights: TemporalWeights {
            correlation: weight("pearson")?,
            magnitude: weight("magnitude")?,
            entropy: weight("entropy")?,
            flatness: 0.0,
        },
        tau: case.f64("tau")? as f32,
        skip_first: window[0],
        skip_last: frames - 1 - window[1],
        ..TemporalObjective::released()
    };
    let attention = case.input("in/attention")?;
    let shape = attention.shape().clone();
    let map = Tensor::from_host(context, &attention.reshape([groups, frames, tokens])?)?;
    let masks = Tensor::from_host(context, &case.input("in/masks")?)?;
    let outcome = temporal_loss(&map, &masks, &objective)?;
    let terms = block_on(outcome.group_terms())?;
    let mut outputs = Outputs::new();
    let column = |of: fn(&foveal::kernels::temporal::GroupTerms) -> f32| HostTensor::new([groups], terms.iter().map(of).collect());
    outputs.tensor("r", column(|t| t.correlation)?);
    outputs.tensor("positive_magnitude", column(|t| t.positive_magnitude)?);
    outputs.tensor("negative_magnitude", column(|t| t.negative_magnitude)?);
    outputs.tensor("entropy", column(|t| t.entropy)?);
    let total: f64 = terms.iter().map(|t| f64::from(t.total)).sum::<f64>() / groups as f64;
    outputs.f64s("total", [1], vec![total]);
    outputs.tensor("signal", block_on(outcome.signal.to_host())?);
    outputs.tensor("grad", block_on(outcome.grad.to_host())?.reshape(shape)?);
    Ok(outputs)
}

#[test]
fn golden() {
    let context = kernels_tests::golden::new_context().unwrap();
    for name in ["one_group", "two_groups", "tie", "audio_mask"] {
        let case = Case::open(format!("{}/golden/tempo_loss_{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let op = Op { name: "tempo.loss", optional: &[], run: tempo_loss };
        for o in (op.run)(&context, &case).unwrap().judge(&case, &op).unwrap() {
            println!("{name} {o:?}");
        }
    }
}

#[test]
fn wrappers() {
    use foveal::kernels::{optim, token};
    let context = kernels_tests::golden::new_context().unwrap();
    let t = |shape: &[usize]| Tensor::from_f32(&context, shape.to_vec(), &(0..shape.iter().product::<usize>()).map(|v| v as f32).collect::<Vec<_>>()).unwrap();
    let table = t(&[7, 3]);
    println!("{:?}", block_on(token::embedding(&table, &[6, 0]).unwrap().to_vec()).unwrap());
    println!("{}", token::embedding(&table, &[6, 7]).unwrap_err());
    println!("{}", token::embedding(&table, &[]).unwrap_err());
    let x = t(&[2, 3, 4, 6]);
    let order = token::PatchOrder::ChannelLast;
    let y = token::patchify(&x, [1, 2, 2], order).unwrap();
    println!("{}", y.shape());
    let back = token::unpatchify(&y, token::Patches { channels: 2, frames: 3, height: 4, width: 6, patch: [1, 2, 2], order }).unwrap();
    assert_eq!(block_on(back.to_vec()).unwrap(), block_on(x.to_vec()).unwrap());
    println!("{}", token::patchify(&x, [2, 2, 2], order).unwrap_err());
    println!("{}", token::patchify(&x, [0, 2, 2], order).unwrap_err());
    println!("{}", token::unpatchify(&y, token::Patches { channels: 2, frames: 3, height: 4, width: 4, patch: [1, 2, 2], order }).unwrap_err());
    println!("{}", block_on(optim::norm(&x)).unwrap());
    let (m, v) = (Tensor::zeros(&context, [24, 6]).unwrap(), Tensor::zeros(&context, [144]).unwrap());
    let p = t(&[144]);
    optim::adamw(&p, &x, &m, &v, &optim::AdamW { lr: 0.5, ..Default::default() }, 1).unwrap();
    println!("{:?}", &block_on(p.to_vec()).unwrap()[..4]);
    println!("{}", optim::adamw(&p, &table, &m, &v, &Default::default(), 1).unwrap_err());
    println!("{}", optim::adamw(&p, &x, &m, &v, &Default::default(), 0).unwrap_err());
    println!("{}", optim::adamw(&p, &x, &m, &v, &optim::AdamW { eps: 0.0, ..Default::default() }, 1).unwrap_err());
    // Awkward masks and maps stay finite.
    for objective in [TemporalObjective::released(), TemporalObjective::paper(), TemporalObjective::scale_free()] {
        for frames in [1, 2, 3, 21] {
            for (level, mask) in [(0.0, 0.0), (0.0, 1.0), (1e-3, 0.0), (1e-3, 1.0), (1e-3, 0.85), (1e-3, 0.7), (1.0, 1.0)] {
                let map = Tensor::from_f32(&context, [1, frames, 12], &vec![level; frames * 12]).unwrap();
                let masks = Tensor::from_f32(&context, [1, frames], &vec![mask; frames]).unwrap();
                let out = temporal_loss(&map, &masks, &objective).unwrap();
                for tensor in [&out.terms, &out.signal, &out.grad] {
                    let values = block_on(tensor.to_vec()).unwrap();
                    assert!(values.iter().all(|v| v.is_finite()), "{objective:?} {frames} {level} {mask} {values:?}");
                }
                if frames == 21 && level > 0.0 && mask > 0.7 {
                    println!("{mask} {:?}", block_on(out.group_terms()).unwrap());
                }
            }
        }
    }
}
