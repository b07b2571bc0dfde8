//! What each metric gives for a frame: the names of its columns, as libvmaf and FFmpeg call them.

use flame_api::quality::Metric;

/// The smallest side in luma samples that MS-SSIM takes: five scales of an 11-sample window.
pub const MS_SSIM_SIDE_MIN: u32 = 176;
/// The smallest longer side that VMAF v1 takes: its banding detector's.
pub const VMAF_V1_SIDE_MIN: u32 = 216;
/// The smallest shorter side that VMAF v1 takes: its feature of chroma needs five rows of a sixteenth of chroma's, which has half as many.
/// libvmaf 3 notices less than that and goes on nevertheless, with nothing to count.
pub const VMAF_V1_SHORTER_SIDE_MIN: u32 = 160;
/// The same where chroma is looked at in six tenths of its size.
pub const VMAF_V1_FAR_SHORTER_SIDE_MIN: u32 = 266;
/// The smallest side that libvmaf's features take.
pub const VMAF_SIDE_MIN: u32 = 32;

/// The columns of `metric`, for pictures with or without chroma. The first one stands for the metric.
#[must_use]
pub fn of(metric: Metric) -> &'static [&'static str] {
    match metric {
        Metric::Psnr => &["psnr", "psnr_y", "psnr_cb", "psnr_cr"],
        Metric::Ssim => &["ssim", "ssim_y", "ssim_cb", "ssim_cr"],
        Metric::Xpsnr => &["xpsnr_y", "xpsnr_cb", "xpsnr_cr"],
        Metric::FloatSsim => &["float_ssim"],
        Metric::MsSsim => &["float_ms_ssim"],
        Metric::Vif => &["vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3"],
        Metric::Vmaf => &["vmaf"],
        Metric::VmafNeg => &["vmaf_neg"],
        Metric::Vmaf4k => &["vmaf_4k"],
        Metric::VmafPhone => &["vmaf_phone"],
        Metric::VmafV1 => &["vmaf_v1"],
        Metric::VmafV1Far => &["vmaf_v1_5h"],
        Metric::VmafV14k => &["vmaf_v1_4k"],
    }
}

/// Metrics as they are asked for, each once, in the order of the documents.
#[must_use]
pub fn ordered(asked: &[Metric]) -> Vec<Metric> {
    Metric::ALL.into_iter().filter(|metric| asked.contains(metric)).collect()
}

/// Why `metric` cannot be computed of pictures of this size.
#[must_use]
pub fn refusal(metric: Metric, width: u32, height: u32) -> Option<String> {
    let (shorter_min, longer_min) = match metric {
        Metric::Psnr | Metric::Xpsnr => (1, 1),
        Metric::Ssim => (16, 16),
        Metric::MsSsim => (MS_SSIM_SIDE_MIN, MS_SSIM_SIDE_MIN),
        Metric::VmafV1 | Metric::VmafV14k => (VMAF_V1_SHORTER_SIDE_MIN, VMAF_V1_SIDE_MIN),
        Metric::VmafV1Far => (VMAF_V1_FAR_SHORTER_SIDE_MIN, VMAF_V1_FAR_SHORTER_SIDE_MIN),
        Metric::FloatSsim | Metric::Vif | Metric::Vmaf | Metric::VmafNeg | Metric::Vmaf4k | Metric::VmafPhone => {
            (VMAF_SIDE_MIN, VMAF_SIDE_MIN)
        }
    };
    let (shorter, longer) = (width.min(height), width.max(height));
    (shorter < shorter_min || longer < longer_min).then(|| {
        format!(
            "{metric} needs pictures of at least {longer_min}x{shorter_min} samples, these have {width}x{height}; leave it out"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_metrics_share_a_column() {
        let mut columns: Vec<_> = Metric::ALL.into_iter().flat_map(of).collect();
        let count = columns.len();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), count);
    }

    #[test]
    fn small_pictures_are_refused_by_name() {
        assert!(refusal(Metric::MsSsim, 176, 144).is_some_and(|refusal| refusal.contains("ms_ssim")));
        assert!(refusal(Metric::VmafV1, 200, 200).is_some() && refusal(Metric::VmafV1, 320, 180).is_none());
        // What VMAF v1's feature of chroma cannot take: less than five rows of a sixteenth of it.
        let rows = |shorter: u32, tenths: u32| (shorter / 2 * tenths + 5) / 10 / 16;
        for (metric, smallest, tenths) in
            [(Metric::VmafV1, 160, 10), (Metric::VmafV14k, 160, 10), (Metric::VmafV1Far, 266, 6)]
        {
            assert!(rows(smallest, tenths) == 5 && rows(smallest - 2, tenths) == 4, "{metric}");
            assert!(
                refusal(metric, 1920, smallest).is_none() && refusal(metric, 1920, smallest - 1).is_some(),
                "{metric}"
            );
        }
        assert_eq!(refusal(Metric::Psnr, 1, 1), None);
        assert_eq!(ordered(&[Metric::Vmaf, Metric::Psnr, Metric::Vmaf]), [Metric::Psnr, Metric::Vmaf]);
    }
}
