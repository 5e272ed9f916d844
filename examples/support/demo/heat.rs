//! Where each frame looked at a word: attention maps of a run, averaged.

use foveal::pipelines::text_to_video::temporal_control::{Event, GuidedSteps};
use foveal::{Result, Tensor};

/// Copies the maps while a run goes; they are downloaded afterwards.
#[derive(Debug, Default)]
pub(crate) struct HeatRecorder(Vec<(usize, Tensor)>);

/// Attention of each place to each group of words.
#[derive(Debug, Clone)]
pub(crate) struct HeatMaps {
    groups: usize,
    frames: usize,
    places: usize,
    columns: usize,
    values: Vec<f32>,
    /// Denoising steps whose maps were averaged.
    pub(crate) steps: Vec<usize>,
}

impl HeatRecorder {
    /// Keeps the map of a reading.
    pub(crate) fn observe(&mut self, event: &Event) -> Result<()> {
        if let Event::Read { step, map, .. } = event {
            self.0.push((*step, map.to_owned_copy()?));
        }
        Ok(())
    }

    /// Mean over the guided steps. The first one's map comes before any update, so it is left out where there are
    /// others. `columns` is the width of the grid of places.
    pub(crate) async fn finish(self, guided: &GuidedSteps, columns: usize) -> Result<HeatMaps> {
        let mut inside: Vec<(usize, Tensor)> =
            self.0.into_iter().filter(|(step, _)| guided.contains(*step)).collect();
        if inside.len() > 1 {
            inside.remove(0);
        }
        let mut sum =
            HeatMaps { groups: 0, frames: 0, places: 0, columns, values: Vec::new(), steps: Vec::new() };
        for (step, map) in &inside {
            if let &[groups, frames, places] = map.dims() {
                sum.values.resize(map.len(), 0.0);
                for (total, value) in sum.values.iter_mut().zip(map.to_vec().await?) {
                    *total += value / inside.len() as f32;
                }
                sum = HeatMaps { groups, frames, places, ..sum };
                sum.steps.push(*step);
            }
        }
        Ok(sum)
    }
}

impl HeatMaps {
    fn frame(&self, group: usize, frame: usize) -> &[f32] {
        let start = (group * self.frames + frame) * self.places;
        self.values.get(start..start + self.places).unwrap_or_default()
    }

    /// Largest value of a group.
    pub(crate) fn largest(&self, group: usize) -> f32 {
        (0..self.frames).flat_map(|f| self.frame(group, f)).copied().fold(0.0, f32::max)
    }

    /// Mean attention of each frame to a group.
    pub(crate) fn over_time(&self, group: usize) -> Vec<f32> {
        let mean = |f: usize| self.frame(group, f).iter().sum::<f32>() / self.places.max(1) as f32;
        if group < self.groups { (0..self.frames).map(mean).collect() } else { Vec::new() }
    }

    /// A frame of 8-bit RGB under its map: black to white through red and yellow, `scale` being white.
    pub(crate) fn overlay(
        &self,
        group: usize,
        frame: usize,
        rgb: &[u8],
        width: usize,
        scale: f32,
    ) -> Vec<u8> {
        let map = self.frame(group, frame);
        let height = rgb.len() / 3 / width.max(1);
        let (columns, rows) = (self.columns.max(1), (self.places / self.columns.max(1)).max(1));
        let (pixels, _) = rgb.as_chunks::<3>();
        let shade = |(at, pixel): (usize, &[u8; 3])| {
            let (y, x) = (at / width.max(1), at % width.max(1));
            let place = (y * rows / height.max(1)) * columns + x * columns / width.max(1);
            let heat = map.get(place).copied().unwrap_or(0.0) / scale.max(f32::MIN_POSITIVE);
            let glow = glow(heat);
            // The frame shows through faintly, as grey.
            let grey = pixel.iter().map(|v| f32::from(*v)).sum::<f32>() / 3.0 * 0.3;
            glow.map(|v| (v + grey).min(255.0) as u8)
        };
        pixels.iter().enumerate().flat_map(shade).collect()
    }
}

/// Black, violet, red, yellow, white: brightness rises all the way, so it reads without colour too.
fn glow(heat: f32) -> [f32; 3] {
    const STOPS: [[f32; 3]; 5] = [
        [0.0, 0.0, 0.0],
        [70.0, 10.0, 100.0],
        [200.0, 45.0, 60.0],
        [250.0, 180.0, 40.0],
        [255.0, 255.0, 230.0],
    ];
    let place = heat.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let (index, part) = (place.floor() as usize, place.fract());
    let stop = |i: usize| STOPS.get(i).or(STOPS.last()).copied().unwrap_or_default();
    let (low, high) = (stop(index), stop(index + 1));
    [0, 1, 2].map(|c: usize| {
        let at = |s: [f32; 3]| s.get(c).copied().unwrap_or(0.0);
        at(low) * (1.0 - part) + at(high) * part
    })
}
