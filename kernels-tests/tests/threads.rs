//! What may go to another thread: this file compiles, or says what may not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Attend, Gradients, Tape, Var};
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, Tables};
use foveal::kernels::rowwise::RopeAt;
use foveal::{Context, Dtype, Error, HostTensor, Tensor};
use kernels_tests::golden::new_context;

fn send<T: Send>() {}
fn send_and_sync<T: Send + Sync>() {}
fn owned<T: Send + Sync + 'static>() {}

#[test]
fn tapes_variables_and_gradients_cross_threads() {
    send_and_sync::<Context>();
    send_and_sync::<Error>();
    owned::<Tensor>();
    owned::<HostTensor>();
    owned::<Var>();
    owned::<Gradients>();
    send::<Tape>();
    owned::<Attend>();
    owned::<Tables>();
    owned::<RopeAt>();
    owned::<AttentionProblem>();

    // Recorded on one thread, run backwards on another.
    let context = new_context().unwrap();
    let mut tape = Tape::record();
    let x = tape.leaf(Tensor::from_f32(&context, [4], &[1.0, 2.0, 3.0, 4.0]).unwrap());
    let loss = tape.mean_squared_error(&x, &Tensor::zeros(&context, [4], Dtype::F32).unwrap()).unwrap();
    let leaf = x.clone();
    let gradient = std::thread::spawn(move || {
        let gradients = tape.backward_from(&loss).unwrap();
        block_on(gradients.of(&leaf).unwrap().unwrap().to_vec()).unwrap()
    });
    assert_eq!(gradient.join().unwrap(), [0.5, 1.0, 1.5, 2.0]);
}
