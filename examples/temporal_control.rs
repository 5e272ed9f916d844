//! Placeholder.
fn main() {
    use foveal::pipelines::text_to_video::{TextToVideo, to_rgb};
    use foveal::pipelines::temporal_control::{Event, Guidance};
    let c = pollster::block_on(foveal::Context::new(Default::default())).unwrap();
    println!("{}", c.caps());
    let t = std::time::Instant::now();
    let p = TextToVideo::open(&c, "models/tiny-wan").unwrap();
    println!("open {:?}", t.elapsed());
    for guided in [false, true] {
        let mut r = p.request("a red square and a blue cross");
        r.seed = 1;
        if guided {
            r.guidance = Some(Guidance::default());
            r.words = vec![foveal::pipelines::text_to_video::TimedWord {
                phrase: "red square".into(),
                occurrence: Default::default(),
                curve: foveal::pipelines::curve::TimingCurve::parse("4..8", &p.time_axis().unwrap()).unwrap(),
            }];
        }
        let t = std::time::Instant::now();
        let clip = pollster::block_on(p.generate(&r, &mut |e| {
            match e {
                Event::Stepped { step, .. } => println!("step {step} {:?}", t.elapsed()),
                Event::Read { terms, .. } => println!("read {terms:?} {:?}", t.elapsed()),
                Event::Updated { terms, .. } => println!("update {terms:?} {:?}", t.elapsed()),
                _ => (),
            }
            std::ops::ControlFlow::Continue(())
        }))
        .unwrap();
        println!("{:?}", c.memory());
        let rgb = to_rgb(&clip).unwrap();
        let mut img = image::RgbImage::new(16 * 8, 16);
        for (f, d) in rgb.iter().enumerate() {
            for (i, px) in d.chunks_exact(3).enumerate() {
                img.put_pixel((f * 16 + i % 16) as u32, (i / 16) as u32, image::Rgb([px[0], px[1], px[2]]));
            }
        }
        image::imageops::resize(&img, 16 * 8 * 8, 128, image::imageops::Nearest).save(format!("/tmp/ms{guided}.png")).unwrap();
    }
}
