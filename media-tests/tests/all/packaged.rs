//! A clip packaged by FFmpeg as HLS or DASH: two video renditions and a sound rendition, fragmented MP4, two-second segments.

use std::fs;
use std::path::Path;
use std::process::Command;

use flame_test_kit::Scratch;

/// The folder of a packaged clip; `index.m3u8` is its multivariant playlist, or `index.mpd` its MPD.
pub struct Packaged {
    folder: Scratch,
}

// === impl Packaged ===

impl Packaged {
    pub fn new(source: &Path, top_bitrate: &str, audio_filter: &str) -> Self {
        Self::with(source, top_bitrate, audio_filter, |ffmpeg| {
            ffmpeg
                .args("-f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4".split(' '))
                .args("-hls_fmp4_init_filename init_%v.mp4 -master_pl_name index.m3u8".split(' '))
                .args([
                    "-var_stream_map",
                    "v:0,agroup:a,name:top v:1,agroup:a,name:low a:0,agroup:a,name:sound,default:yes",
                ])
                .args(["-hls_segment_filename", "%v_%d.m4s", "%v.m3u8"]);
        })
    }

    /// The same as DASH; segment N, counted from 1, of rendition R is `R_N.m4s`.
    pub fn dash(source: &Path, top_bitrate: &str) -> Self {
        Self::with(source, top_bitrate, "anull", |ffmpeg| {
            ffmpeg
                .args("-f dash -seg_duration 2 -use_template 1 -use_timeline 1".split(' '))
                .args(["-adaptation_sets", "id=0,streams=v id=1,streams=a"])
                .args(["-init_seg_name", "init_$RepresentationID$.mp4"])
                .args(["-media_seg_name", "$RepresentationID$_$Number$.m4s", "index.mpd"]);
        })
    }

    fn with(source: &Path, top_bitrate: &str, audio_filter: &str, format: impl FnOnce(&mut Command)) -> Self {
        let folder = Scratch::new("packaged");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg
            .current_dir(folder.path())
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(source)
            .args(["-filter_complex", "[0:v]split[top][more];[more]scale=320:180[low]"])
            .args(["-map", "[top]", "-map", "[low]", "-map", "0:a", "-af", audio_filter])
            .args("-c:v libx264 -preset veryfast -bf 0 -g 250 -sc_threshold 0 -b:v:1 300k".split(' '))
            .args(["-force_key_frames", "expr:gte(t,n_forced*2)", "-b:v:0", top_bitrate, "-c:a", "aac"]);
        format(&mut ffmpeg);
        let ran = ffmpeg.output().expect("ffmpeg runs (tools/deps test)");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Rewrites a file of the package.
    pub fn change(&self, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let path = self.folder.join(file);
        let before = fs::read(&path).expect("FFmpeg wrote it");
        fs::write(&path, change(before)).expect("scratch is writable");
    }

    /// Takes a segment out of a media playlist, as a packager that loses one would.
    pub fn lose_segment(&self, playlist: &str, segment: &str) {
        self.change(playlist, |text| {
            let text = String::from_utf8(text).expect("playlists are UTF-8");
            let lines: Vec<&str> = text.lines().collect();
            let at = lines.iter().position(|line| *line == segment).expect("the segment is listed");
            let kept = lines[..at - 1].iter().chain(&lines[at + 1..]);
            kept.map(|line| format!("{line}\n")).collect::<String>().into_bytes()
        });
    }
}
