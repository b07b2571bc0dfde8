//! The wall to libvmaf's C structures: pictures in, scores out. Only this file names the library.
//!
//! libvmaf computes in threads of its own and takes no more pictures than it has threads; so memory does not grow with
//! the film, but for a few numbers a frame. A value of [`Vmaf`] stays on its thread.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString},
    ptr,
};

use flame_api::quality::Metric;
use flame_quality::plane::Picture;
use vmaf_head_sys as sys;

use crate::fault::MediaError;

/// libvmaf at work on a pair of films.
pub(crate) struct Vmaf {
    context: *mut sys::VmafContext,
    columns: Vec<Source>,
    /// Chroma subsampling, bits, width and height of the pictures.
    format: (sys::VmafPixelFormat, u32, u32, u32),
    pairs: u32,
}

/// Where a column's scores come from.
enum Source {
    Feature(CString),
    Model(*mut sys::VmafModel),
}

/// What is wanted of libvmaf.
pub(crate) struct Wanted<'a> {
    pub(crate) metrics: &'a [Metric],
    /// Shifts of chroma against luma: horizontal, vertical.
    pub(crate) chroma_shifts: (u32, u32),
    pub(crate) bits: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) threads: u32,
    /// Every n-th pair; 1 for all.
    pub(crate) subsample: u32,
}

/// Version of the library.
pub(crate) fn version() -> String {
    // SAFETY: the function gives a constant string.
    unsafe { CStr::from_ptr(sys::vmaf_version()) }.to_string_lossy().into_owned()
}

// === impl Vmaf ===

impl Vmaf {
    /// `None` if none of the metrics is libvmaf's.
    pub(crate) fn start(wanted: &Wanted<'_>) -> Result<Option<Self>, MediaError> {
        if wanted.metrics.iter().all(|metric| matches!(metric, Metric::Psnr | Metric::Ssim | Metric::Xpsnr)) {
            return Ok(None);
        }
        let format = match wanted.chroma_shifts {
            (1, 1) => sys::VmafPixelFormat_VMAF_PIX_FMT_YUV420P,
            (1, 0) => sys::VmafPixelFormat_VMAF_PIX_FMT_YUV422P,
            _ => sys::VmafPixelFormat_VMAF_PIX_FMT_YUV444P,
        };
        let configuration = sys::VmafConfiguration {
            log_level: sys::VmafLogLevel_VMAF_LOG_LEVEL_ERROR,
            n_threads: wanted.threads,
            n_subsample: wanted.subsample,
            cpumask: 0,
            gpumask: 0,
        };
        let mut vmaf = Self {
            context: ptr::null_mut(),
            columns: Vec::new(),
            format: (format, wanted.bits, wanted.width, wanted.height),
            pairs: 0,
        };
        // SAFETY: the pointer is written on success, and null else.
        if unsafe { sys::vmaf_init(&raw mut vmaf.context, configuration) } != 0 || vmaf.context.is_null() {
            vmaf.context = ptr::null_mut();
            return Err(MediaError::environment("libvmaf cannot be started: is there enough memory?"));
        }
        for &metric in wanted.metrics {
            vmaf.add(metric)?;
        }
        Ok(Some(vmaf))
    }

    fn add(&mut self, metric: Metric) -> Result<(), MediaError> {
        let plain = sys::VmafModelFlags_VMAF_MODEL_FLAGS_DEFAULT;
        match metric {
            // Computed here, without the library.
            Metric::Psnr | Metric::Ssim | Metric::Xpsnr => Ok(()),
            Metric::FloatSsim => self.feature("float_ssim", &["float_ssim"]),
            Metric::MsSsim => self.feature("float_ms_ssim", &["float_ms_ssim"]),
            Metric::Vif => self.feature(
                "vif",
                &[
                    "VMAF_integer_feature_vif_scale0_score",
                    "VMAF_integer_feature_vif_scale1_score",
                    "VMAF_integer_feature_vif_scale2_score",
                    "VMAF_integer_feature_vif_scale3_score",
                ],
            ),
            Metric::Vmaf => self.model("vmaf", "vmaf_v0.6.1", plain),
            Metric::VmafNeg => self.model("vmaf_neg", "vmaf_v0.6.1neg", plain),
            Metric::Vmaf4k => self.model("vmaf_4k", "vmaf_4k_v0.6.1", plain),
            Metric::VmafPhone => {
                self.model("vmaf_phone", "vmaf_v0.6.1", sys::VmafModelFlags_VMAF_MODEL_FLAG_ENABLE_TRANSFORM)
            }
            Metric::VmafV1 => self.model("vmaf_v1", "vmaf_v1.0.16_3d0h", plain),
            Metric::VmafV1Far => self.model("vmaf_v1_5h", "vmaf_v1.0.16_5d0h", plain),
            Metric::VmafV14k => self.model("vmaf_v1_4k", "vmaf_v1.0.16_1d5h_2160", plain),
        }
    }

    fn feature(&mut self, extractor: &str, features: &[&str]) -> Result<(), MediaError> {
        let name = c_string(extractor)?;
        // SAFETY: the context lives as long as `self`; no options are passed.
        if unsafe { sys::vmaf_use_feature(self.context, name.as_ptr(), ptr::null_mut()) } != 0 {
            return Err(MediaError::environment(format!("libvmaf {} has no feature {extractor}", version())));
        }
        for feature in features {
            self.columns.push(Source::Feature(c_string(feature)?));
        }
        Ok(())
    }

    fn model(&mut self, name: &str, built_in: &str, flags: sys::VmafModelFlags) -> Result<(), MediaError> {
        let missing = || MediaError::environment(format!("libvmaf {} has no model {built_in}", version()));
        let (name, built_in) = (c_string(name)?, c_string(built_in)?);
        let mut configuration = sys::VmafModelConfig { name: name.as_ptr(), flags: u64::from(flags) };
        let mut model = ptr::null_mut();
        // SAFETY: both strings outlive the call, which copies the name; the pointer is written on success.
        if unsafe { sys::vmaf_model_load(&raw mut model, &raw mut configuration, built_in.as_ptr()) } != 0 {
            return Err(missing());
        }
        // From here on dropping `self` frees it.
        self.columns.push(Source::Model(model));
        // SAFETY: context and model are alive.
        if unsafe { sys::vmaf_use_features_from_model(self.context, model) } != 0 {
            return Err(missing());
        }
        Ok(())
    }

    /// Gives the next pair to the library; waits while it has enough to do.
    pub(crate) fn read(&mut self, reference: &Picture<'_>, distorted: &Picture<'_>) -> Result<(), MediaError> {
        let mut reference = self.copy(reference)?;
        let mut distorted = match self.copy(distorted) {
            Ok(distorted) => distorted,
            Err(error) => {
                // SAFETY: the picture was allocated by the library and given to nobody.
                unsafe { sys::vmaf_picture_unref(&raw mut reference) };
                return Err(error);
            }
        };
        // SAFETY: both pictures are whole; the library takes them over.
        let status =
            unsafe { sys::vmaf_read_pictures(self.context, &raw mut reference, &raw mut distorted, self.pairs) };
        if status != 0 {
            return Err(MediaError::environment(format!("libvmaf cannot take pair {}: status {status}", self.pairs)));
        }
        self.pairs += 1;
        Ok(())
    }

    fn copy(&self, picture: &Picture<'_>) -> Result<sys::VmafPicture, MediaError> {
        let (format, bits, width, height) = self.format;
        // SAFETY: the structure is plain numbers and pointers, for which zero is a value.
        let mut copy: sys::VmafPicture = unsafe { std::mem::zeroed() };
        // SAFETY: `copy` is written on success.
        if unsafe { sys::vmaf_picture_alloc(&raw mut copy, format, bits, width, height) } != 0 {
            return Err(MediaError::environment("no memory for a picture of libvmaf's"));
        }
        for (n, plane) in picture.planes.iter().take(3).enumerate() {
            let rows = plane.height().min(copy.h[n] as usize);
            let bytes_a_sample = if bits > 8 { 2 } else { 1 };
            for y in 0..rows {
                let row = plane.row(y);
                let length = row.len().min(copy.w[n] as usize * bytes_a_sample);
                // SAFETY: the library allocated `h` rows of at least `w` samples, `stride` apart; `length` is within
                // both the source's row and that.
                unsafe {
                    let target = copy.data[n].cast::<u8>().offset(copy.stride[n] * y.cast_signed());
                    ptr::copy_nonoverlapping(row.as_ptr(), target, length);
                }
            }
        }
        Ok(copy)
    }

    /// Waits until all is computed.
    pub(crate) fn finish(&mut self) -> Result<(), MediaError> {
        // SAFETY: two null pointers ask for the end.
        let status = unsafe { sys::vmaf_read_pictures(self.context, ptr::null_mut(), ptr::null_mut(), 0) };
        if status == 0 {
            return Ok(());
        }
        Err(MediaError::environment(format!("libvmaf cannot finish after {} pairs: status {status}", self.pairs)))
    }

    /// The scores of pair `at`, in the order of the columns of the metrics that were asked for.
    pub(crate) fn scores(&self, at: u32) -> Result<Vec<f64>, MediaError> {
        let scores = self.columns.iter().map(|column| {
            let mut score = f64::NAN;
            // SAFETY: context, models and names are alive; the score is written on success.
            let status = unsafe {
                match column {
                    Source::Feature(name) => {
                        sys::vmaf_feature_score_at_index(self.context, name.as_ptr(), &raw mut score, at)
                    }
                    Source::Model(model) => sys::vmaf_score_at_index(self.context, *model, &raw mut score, at),
                }
            };
            if status == 0 && score.is_finite() {
                return Ok(score);
            }
            Err(MediaError::environment(format!("libvmaf has no score for pair {at}: status {status}, {score}")))
        });
        scores.collect()
    }
}

impl Drop for Vmaf {
    fn drop(&mut self) {
        for column in &self.columns {
            if let Source::Model(model) = column {
                // SAFETY: it was loaded by this value, which alone has it.
                unsafe { sys::vmaf_model_destroy(*model) };
            }
        }
        if !self.context.is_null() {
            // SAFETY: it was made by this value; closing waits for the library's threads.
            unsafe { sys::vmaf_close(self.context) };
        }
    }
}

fn c_string(text: &str) -> Result<CString, MediaError> {
    CString::new(text).map_err(|_| MediaError::environment(format!("{text:?} is no name of libvmaf's")))
}
