//! What may go to another thread: this file compiles, or says what may not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop loudly")]

use foveal::autograd::{Attend, Gradients, Tape, Var};
use foveal::block_on;
use foveal::kernels::attention::{AttentionProblem, Tables};
use foveal::kernels::rowwise::RopeAt;
use foveal::models::umt5::Umt5;
use foveal::models::wan::{Wan, WanOptions, WanText};
use foveal::nn::{Accumulated, Optimiser, Parameters, Weights};
use foveal::pipelines::schedules::{Sampler, SamplerState, Schedule, SigmaGrid, Solver};
use foveal::pipelines::sentiment::data::Dataset;
use foveal::pipelines::sentiment::{ScoreRequest, SentimentModel, TrainEvent, TrainOptions, Trainer};
use foveal::pipelines::text_to_video::memory_plan::{PlanRequest, memory_plan};
use foveal::pipelines::text_to_video::temporal_control::{Control, Prompts, sample};
use foveal::pipelines::text_to_video::{ClipRequest, ClipResult, Event, TextToVideo};
use foveal::pipelines::video_qa::{self, Answer, Clip, Look, QaPlanRequest, Question, VideoQa, Visual};
use foveal::{Caps, Context, Dtype, Error, HostTensor, Tensor};
use kernels_tests::golden::new_context;
use kernels_tests::root;
use std::ops::ControlFlow;
use std::sync::mpsc;

fn sendable<T: Send>(_: &T) {}
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

#[test]
fn models_pipelines_and_what_they_are_asked_for_cross_threads() {
    owned::<Wan>();
    owned::<WanText>();
    owned::<WanOptions>();
    owned::<Umt5>();
    owned::<Parameters>();
    owned::<Weights>();
    owned::<Optimiser>();
    owned::<Accumulated>();
    owned::<Sampler>();
    owned::<SamplerState>();
    owned::<TextToVideo>();
    owned::<ClipRequest>();
    owned::<ClipResult>();
    owned::<Control>();
    owned::<Prompts>();
    owned::<Event>();
    owned::<PlanRequest>();
    owned::<SentimentModel>();
    owned::<Dataset>();
    owned::<TrainOptions>();
    owned::<ScoreRequest>();
    owned::<Trainer>();
    owned::<TrainEvent>();
    owned::<VideoQa>();
    owned::<Clip>();
    owned::<Visual>();
    owned::<Question>();
    owned::<video_qa::Event>();
    owned::<Answer>();
    let _ = futures_are_send;
    let _ = futures_of_questions_are_send;
}

/// Never called: that it compiles says that the futures of all runs may be spawned on a pool of threads.
fn futures_are_send(
    pipeline: &TextToVideo,
    request: &ClipRequest,
    prompts: &Prompts,
    plan: &PlanRequest,
    trainer: &mut Trainer,
    data: &Dataset,
) {
    sendable(&pipeline.generate(request, |_| ControlFlow::Continue(())));
    let sampler = Sampler::new(Schedule::new(SigmaGrid::Wan, 3, 3.0).unwrap(), Solver::UniPc);
    let latent = HostTensor::zeros([1, 1, 1, 1]);
    let go_on = |_: &Event| ControlFlow::Continue(());
    sendable(&sample(pipeline.transformer(), &latent, prompts, &sampler, None, go_on));
    sendable(&memory_plan(plan, Caps::webgpu_default()));
    sendable(&trainer.run(|_| ControlFlow::Continue(())));
    sendable(&trainer.next());
    let (model, asked) = (&trainer.model, ScoreRequest::default());
    sendable(&model.score(data, &asked, |_| ControlFlow::Continue(())));
    sendable(&model.evaluate(data, &asked, |_| ControlFlow::Continue(())));
}

/// Never called either.
fn futures_of_questions_are_send(model: &VideoQa, clip: &mut Clip, seen: &Visual, plan: &QaPlanRequest) {
    sendable(&model.look(clip, &Look::default(), |_| ControlFlow::Continue(())));
    let question = Question::new("Where?");
    sendable(&model.answer(&[seen], &question, |_| ControlFlow::Continue(())));
    sendable(&video_qa::memory_plan(plan, Caps::webgpu_default()));
}

#[test]
fn a_clip_is_made_on_one_thread_and_watched_from_another() {
    let context = new_context().unwrap();
    let pipeline = TextToVideo::open(&context, root().join("models/tiny-wan")).unwrap();
    let request = ClipRequest { steps: 2, ..pipeline.request("a red square") };
    let (send, events) = mpsc::channel();
    let maker = std::thread::spawn(move || {
        // A hook that owns what it needs, events that are sent on.
        let hook = move |event: &Event| match send.send(event.clone()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        block_on(pipeline.generate(&request, hook)).unwrap()
    });
    let steps: Vec<(usize, usize)> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Done { step, latent, .. } => Some((step, latent.len())),
            _ => None,
        })
        .collect();
    let made = maker.join().unwrap();
    let values = made.clip.data().len();
    assert_eq!(steps, [(0, values), (1, values)]);
    assert_eq!(made.to_rgb().unwrap().len(), made.clip.shape().dims()[1]);
    assert!(made.fps > 0.0);
}
