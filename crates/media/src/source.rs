//! Opens a source with FFmpeg, safely: known containers only, no protocol but the one asked for, bounded time.
//!
//! A playlist uploaded as a video must not make the child read other files or addresses, so formats that
//! point elsewhere (HLS, DASH, concat, SDP, image sequences) are not on the list.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::Once,
    time::{Duration, Instant},
};

use ffmpeg_next::{Dictionary, Error as FfmpegError, format, util::error as errno};
use flame_api::media::Rational;
use flame_media_child::protocol::NOT_MEDIA;

use crate::fault::MediaError;

/// Containers that are accepted, FFmpeg's names. None of them refers to a second file.
const CONTAINERS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,obu,ivf,flv,\
                          asf,ogg,wav,w64,aiff,mp3,aac,flac,ac3,eac3,caf,mxf,nut,gxf,dv,m4v,amr,au,wv,yuv4mpegpipe";
/// How long a read from the object store may stall.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens `input`, a path or an `http://` URL, and reads its streams' parameters. Reads fail after `budget`.
///
/// # Errors
/// [`MediaError`] in people's words.
pub fn open(input: &str, budget: Duration) -> Result<format::context::Input, MediaError> {
    initialise();
    let is_url = input.starts_with("http://");
    let mut options = Dictionary::new();
    options.set("format_whitelist", CONTAINERS);
    let address = if is_url {
        options.set("protocol_whitelist", "http,tcp");
        options.set("rw_timeout", &STALL_TIMEOUT.as_micros().to_string());
        input.to_owned()
    } else {
        check_file(Path::new(input))?;
        options.set("protocol_whitelist", "file");
        // Without the scheme a path such as `a:b.mp4` would be taken for a protocol.
        format!("file:{input}")
    };
    let deadline = Instant::now() + budget;
    format::input_with_interrupt_and_dictionary(&address, move || Instant::now() > deadline, options)
        .map_err(|error| opening_failed(input, is_url, error))
}

/// Opens `input`, the `http://` URL of a file or an HLS playlist, and whatever URLs that names. Only for who asks on their
/// own behalf: a playlist decides what is fetched. Reads fail after `budget`.
///
/// # Errors
/// [`MediaError`] in people's words.
pub fn open_playlist(input: &str, budget: Duration) -> Result<format::context::Input, MediaError> {
    initialise();
    let mut options = Dictionary::new();
    options.set("format_whitelist", &format!("hls,{CONTAINERS}"));
    options.set("protocol_whitelist", "http,tcp,crypto");
    options.set("rw_timeout", &STALL_TIMEOUT.as_micros().to_string());
    let deadline = Instant::now() + budget;
    format::input_with_interrupt_and_dictionary(input, move || Instant::now() > deadline, options)
        .map_err(|error| opening_failed(input, true, error))
}

/// Opens pictures that are a file each: `address` is a `file:` with the number's place in it, the first of them `first`, all that follow
/// without a hole. Only for who asks on their own behalf: other files than the named one are read. Reads fail after `budget`.
///
/// # Errors
/// [`MediaError`] in people's words.
pub fn open_images(
    address: &str,
    first: u32,
    frame_rate: Rational,
    budget: Duration,
) -> Result<format::context::Input, MediaError> {
    initialise();
    let mut options = Dictionary::new();
    options.set("format_whitelist", "image2");
    options.set("protocol_whitelist", "file");
    options.set("pattern_type", "sequence");
    options.set("start_number", &first.to_string());
    options.set("framerate", &format!("{}/{}", frame_rate.num, frame_rate.den));
    let deadline = Instant::now() + budget;
    format::input_with_interrupt_and_dictionary(address, move || Instant::now() > deadline, options)
        .map_err(|error| opening_failed(address, false, error))
}

/// Initialises FFmpeg, once, with its chatter off: errors come back as values.
pub fn initialise() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ffmpeg_next::init().expect("registering FFmpeg's codecs allocates nothing that can fail");
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Fatal);
    });
}

fn check_file(path: &Path) -> Result<(), MediaError> {
    let metadata = std::fs::metadata(path).map_err(|error| cannot_open(path, &error))?;
    if !metadata.is_file() {
        return Err(MediaError::input(format!("{} is not a file", path.display())));
    }
    if metadata.len() == 0 {
        return Err(MediaError::input("the file is empty (0 bytes)"));
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &std::io::Error) -> MediaError {
    MediaError::environment(format!("cannot open {}: {error}", path.display()))
}

fn opening_failed(input: &str, is_url: bool, error: FfmpegError) -> MediaError {
    match error {
        FfmpegError::InvalidData | FfmpegError::Eof if !is_url && is_mp4(Path::new(input)) => MediaError::input(
            "the MP4 file is damaged or cut off: its index (the `moov` box) is missing or cannot be read",
        ),
        FfmpegError::InvalidData | FfmpegError::Eof | FfmpegError::DemuxerNotFound => MediaError::input(NOT_MEDIA),
        // What FFmpeg answers for a format that is not on the list.
        FfmpegError::Other { errno: errno::EINVAL } => MediaError::input(NOT_MEDIA),
        FfmpegError::HttpNotFound => MediaError::input(format!("{input} does not exist (HTTP 404)")),
        FfmpegError::HttpBadRequest
        | FfmpegError::HttpUnauthorized
        | FfmpegError::HttpForbidden
        | FfmpegError::HttpOther4xx => MediaError::environment(format!("{input} cannot be read: {error}")),
        FfmpegError::Exit => MediaError::input("the file could not be read in the time allowed"),
        other => MediaError::environment(format!("cannot read {input}: {other}")),
    }
}

/// Whether a file that cannot be opened at least begins like an MP4.
fn is_mp4(path: &Path) -> bool {
    let mut head = [0; 8];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && matches!(&head[4..], b"ftyp" | b"moov" | b"mdat" | b"free" | b"wide" | b"skip")
}
