//! How close the pictures come to the source's: PSNR by FFmpeg's filter.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::output;

/// Peak signal-to-noise ratio in dB of `played` against `source`, over all planes and pictures.
///
/// Pictures are paired by number, never by time: [`crate::verdict::same_pictures`] has to hold before, or the figure
/// means nothing. The source is scaled to `size`, the size of what was played, and turned upright.
///
/// # Errors
/// When FFmpeg cannot compare them.
pub async fn psnr_db(source: &Path, played: &str, size: (usize, usize)) -> Result<f64> {
    let (width, height) = size;
    let by_number = "format=yuv420p,settb=1/1000,setpts=N*40";
    let graph = format!(
        "[0:v:0]scale={width}:{height}:flags=bicubic,setsar=1,{by_number}[wanted];\
         [1:v:0]setsar=1,{by_number}[found];[found][wanted]psnr"
    );
    let source = source.to_str().context("paths of clips are UTF-8")?;
    let arguments = ["-nostdin", "-hide_banner", "-nostats", "-v", "info", "-i", source, "-i", played];
    let filter = ["-lavfi", &graph, "-vsync", "passthrough", "-f", "null", "-"];
    let output = output("ffmpeg", arguments.iter().chain(&filter)).await?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{played} cannot be compared with {source}:\n{log}");
    let line = log.lines().find(|line| line.contains("PSNR y:")).with_context(|| format!("no figure in:\n{log}"))?;
    let average = line.split_whitespace().find_map(|word| word.strip_prefix("average:"));
    average.context("psnr gives an average")?.parse().with_context(|| format!("no number in {line}"))
}
