//! Device time of single dispatches.

use super::device::Device;
use super::lock::lock;
use super::readback;
use crate::Result;
use std::sync::{Arc, Mutex};

/// Device time of one dispatch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// Stem and variant.
    pub kernel: String,
    /// Seconds on the device.
    pub seconds: f64,
    /// Floating-point operations that the kernel plans for.
    pub flops: f64,
    /// Bytes that it plans to move.
    pub bytes: f64,
}

/// A dispatch to be timed: name, operations, bytes.
pub(super) type Planned = (String, f64, f64);

#[derive(Debug)]
pub(super) struct Batch {
    labels: Vec<Planned>,
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
}

#[derive(Debug, Default)]
struct State {
    on: bool,
    pending: Vec<Batch>,
}

/// Whether dispatches are timed, and those that were.
#[derive(Debug, Default)]
pub(super) struct Timings(Mutex<State>);

impl Timings {
    pub(super) fn on(&self) -> bool {
        lock(&self.0).on
    }

    pub(super) fn set(&self, on: bool) {
        lock(&self.0).on = on;
    }

    /// A submission's dispatches are on their way.
    pub(super) fn push(&self, batch: Batch) {
        lock(&self.0).pending.push(batch);
    }

    /// Times of all so far, in order.
    pub(super) async fn take(&self, device: &Arc<Device>) -> Result<Vec<Timing>> {
        let pending = std::mem::take(&mut lock(&self.0).pending);
        let nanoseconds = f64::from(device.queue.get_timestamp_period());
        let mut timings = Vec::new();
        for batch in pending {
            let bytes = readback::map(device, &batch.staging, batch.staging.size()).await?;
            let ticks: Vec<u64> =
                bytes.chunks_exact(8).filter_map(|c| c.try_into().ok().map(u64::from_le_bytes)).collect();
            for ((kernel, flops, bytes), pair) in batch.labels.into_iter().zip(ticks.chunks_exact(2)) {
                if let [begin, end] = pair {
                    let seconds = end.saturating_sub(*begin) as f64 * nanoseconds * 1e-9;
                    timings.push(Timing { kernel, seconds, flops, bytes });
                }
            }
        }
        Ok(timings)
    }
}

impl Batch {
    /// Room for two timestamps per label; `None` for an empty list.
    pub(super) fn new(device: &wgpu::Device, labels: Vec<Planned>) -> Option<Self> {
        // A submission holds fewer commands than a query set may hold queries (4,096).
        let count = 2 * labels.len() as u32;
        if count == 0 || count > wgpu::QUERY_SET_MAX_QUERIES {
            return None;
        }
        let size = u64::from(count) * 8;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            staging: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            labels,
        })
    }

    pub(super) fn writes(&self, query: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(query),
            end_of_pass_write_index: Some(query + 1),
        }
    }

    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        let size = self.resolved.size();
        encoder.resolve_query_set(&self.queries, 0..2 * self.labels.len() as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, size);
    }
}
