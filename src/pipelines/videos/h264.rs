//! The decoder of H.264, by the library OpenH264.

use super::colour::Planes;
use openh264::OpenH264API;
use openh264::decoder::{Decoder, DecoderConfig};
use openh264_sys2::{SBufferInfo, videoFormatI420};
use std::ptr::null_mut;

/// A decoder, and the number of the sample that each picture comes of.
pub(super) struct Stream {
    decoder: Decoder,
}

/// A decoded picture, which lives until the next call.
pub(super) struct Picture<'a> {
    pub(super) sample: usize,
    pub(super) height: usize,
    pub(super) planes: Planes<'a>,
}

impl Stream {
    pub(super) fn new() -> Result<Self, String> {
        // Without a flush after each unit: pictures come in the order of showing, as they become ready.
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new());
        decoder.map(|decoder| Self { decoder }).map_err(|e| e.to_string())
    }

    /// Decodes a sample's units, each behind a start code. What comes out, if something does, may be an earlier sample's
    /// picture.
    pub(super) fn decode(&mut self, units: &[u8], sample: usize) -> Result<Option<Picture<'_>>, String> {
        let size = i32::try_from(units.len()).map_err(|_| "a sample of 2 GiB".to_owned())?;
        let mut planes = [null_mut::<u8>(); 3];
        let mut info = SBufferInfo { uiInBsTimeStamp: sample as u64, ..SBufferInfo::default() };
        // SAFETY: `units` outlives the call, which reads `size` bytes of it; three pointers and the description are written.
        let state = unsafe {
            let raw = self.decoder.raw_api();
            raw.decode_frame_no_delay(units.as_ptr(), size, planes.as_mut_ptr(), &raw mut info)
        };
        if state != 0 {
            return Err(format!("the decoder refuses it (state {state:#x})"));
        }
        self.picture(planes, info)
    }

    /// The next of the pictures that are held back; none when all are out.
    pub(super) fn rest(&mut self) -> Result<Option<Picture<'_>>, String> {
        let mut planes = [null_mut::<u8>(); 3];
        let mut info = SBufferInfo::default();
        // SAFETY: three pointers and the description are written.
        let state = unsafe { self.decoder.raw_api().flush_frame(planes.as_mut_ptr(), &raw mut info) };
        if state != 0 {
            return Err(format!("the decoder refuses to end (state {state:#x})"));
        }
        self.picture(planes, info)
    }

    fn picture(&self, planes: [*mut u8; 3], info: SBufferInfo) -> Result<Option<Picture<'_>>, String> {
        let [luma, u, v] = planes;
        if info.iBufferStatus != 1 || luma.is_null() {
            return Ok(None);
        }
        // SAFETY: the decoder has no other kind of description.
        let system = unsafe { info.UsrData.sSystemBuffer };
        let positive = |v: i32| usize::try_from(v).ok().filter(|v| *v > 0);
        let [luma_stride, chroma_stride] = system.iStride.map(positive);
        let parts = (positive(system.iWidth), positive(system.iHeight), luma_stride, chroma_stride);
        let (Some(width), Some(height), Some(luma_stride), Some(chroma_stride)) = parts else {
            return Err("the decoder gives a picture without a size".into());
        };
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        if system.iFormat != videoFormatI420 || luma_stride < width || chroma_stride < half_width {
            return Err("the decoder gives a picture of another layout".into());
        }
        // SAFETY: planes of the decoder's own, of as many rows of that stride, which stay until it is called again or dropped:
        // `self` is borrowed as long as they are.
        let plane = |start: *mut u8, stride: usize, width: usize, height: usize| unsafe {
            std::slice::from_raw_parts(start, stride * (height - 1) + width)
        };
        let chroma = |start| plane(start, chroma_stride, half_width, half_height);
        let planes = Planes {
            width,
            luma: plane(luma, luma_stride, width, height),
            luma_stride,
            chroma: (!u.is_null() && !v.is_null()).then(|| (chroma(u), chroma(v))),
            chroma_stride,
        };
        let sample = usize::try_from(info.uiOutYuvTimeStamp).unwrap_or(usize::MAX);
        Ok(Some(Picture { sample, height, planes }))
    }
}
