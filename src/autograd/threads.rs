//! What may go to another thread.
//!
//! On native targets tapes, variables, gradients, models and pipelines do, and so do the futures of runs. On wasm32 the objects
//! of WebGPU belong to the thread that made them, so nothing is asked there of what a tape or a run is handed.

/// [`Send`] on native targets; nothing on wasm32.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// [`Send`] on native targets; nothing on wasm32.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}
