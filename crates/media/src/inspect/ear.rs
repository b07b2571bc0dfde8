//! The sound of an inspection: decodes one stream of audio and gives its samples to the detectors.

use ffmpeg_next::{
    Error as FfmpegError, Packet, Stream, decoder,
    format::{Sample, sample::Type},
    frame,
    util::error as errno,
};
use flame_api::quality::inspection::AudioInspection;
use flame_media_child::protocol::InspectPlan;
use flame_quality::inspect::{
    extent::{self, Extent, Stated},
    sound::Sound,
};

use crate::{fault::MediaError, probe};

/// Channels that lie in planes of their own at most: FFmpeg keeps further ones elsewhere.
const PLANES_MAX: u16 = 8;

/// Hears the sound of one stream.
pub(super) struct Ear {
    index: usize,
    ms_a_tick: f64,
    codec: String,
    decoder: decoder::Audio,
    extent: Extent,
    shortest_s: f64,
    heard: Option<Heard>,
    /// Why what was heard says nothing.
    spoiled: Option<String>,
    decode_errors: u64,
    samples: Vec<f32>,
}

/// What is known since the first samples.
struct Heard {
    sound: Sound,
    rate_hz: u32,
    channels: u16,
    frames: u64,
    /// How long the longest block that was decoded is.
    block_ms: f64,
    /// When the last block ends, as the container has it.
    end_ms: Option<f64>,
    /// When the first sample is heard, as the container has it.
    first_ms: Option<f64>,
}

/// What was found in sound.
pub(super) struct Sounding {
    pub(super) audio: AudioInspection,
    /// Why loudness was not metered.
    pub(super) unmetered: Option<String>,
    /// What did not come.
    pub(super) early: Option<String>,
    /// From when to when it is heard, milliseconds as the container has them.
    pub(super) span_ms: Option<(f64, f64)>,
}

// === impl Ear ===

impl Ear {
    pub(super) fn of(stream: &Stream<'_>, stated: Stated, plan: &InspectPlan) -> Result<Self, MediaError> {
        let decoder = probe::decoder_for(stream, "audio")?
            .audio()
            .map_err(|error| MediaError::input(format!("the sound cannot be decoded: {error}")))?;
        Ok(Self {
            index: stream.index(),
            ms_a_tick: 1000.0 * f64::from(stream.time_base()),
            codec: stream.parameters().id().name().to_owned(),
            decoder,
            extent: Extent::new(stated),
            shortest_s: plan.shortest_s,
            heard: None,
            spoiled: None,
            decode_errors: 0,
            samples: Vec::new(),
        })
    }

    /// The stream.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// How far it has come, seconds from the first sample.
    pub(super) fn heard_s(&self) -> f64 {
        self.heard.as_ref().map_or(0.0, |heard| heard.frames as f64 / f64::from(heard.rate_hz))
    }

    /// Takes a packet of the stream.
    pub(super) fn hear(&mut self, packet: &Packet) {
        self.decode_errors += u64::from(self.decoder.send_packet(packet).is_err());
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let mut frame = frame::Audio::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => self.take(&frame),
                Err(FfmpegError::Eof | FfmpegError::Other { errno: errno::EAGAIN }) => return,
                Err(_) => {
                    self.decode_errors += 1;
                    return;
                }
            }
        }
    }

    fn take(&mut self, frame: &frame::Audio) {
        let (rate_hz, channels) = (frame.rate(), frame.channels());
        if self.spoiled.is_some() || frame.samples() == 0 {
            return;
        }
        if rate_hz == 0 || channels == 0 {
            self.spoiled = Some("the sound does not say its rate and channels".to_owned());
            return;
        }
        if let Some(heard) = &self.heard
            && (heard.rate_hz, heard.channels) != (rate_hz, channels)
        {
            self.spoiled = Some(format!(
                "the sound changes from {} channels at {} Hz to {channels} at {rate_hz} Hz",
                heard.channels, heard.rate_hz
            ));
            return;
        }
        if let Err(why) = interleave(frame, &mut self.samples) {
            self.spoiled = Some(why);
            return;
        }
        let start_ms = frame.timestamp().or(frame.pts()).map(|ticks| ticks as f64 * self.ms_a_tick);
        let heard = self.heard.get_or_insert_with(|| Heard {
            sound: Sound::new(rate_hz, channels.into(), self.shortest_s),
            rate_hz,
            channels,
            frames: 0,
            block_ms: 0.0,
            end_ms: None,
            first_ms: start_ms.map(|ms| ms.max(0.0)),
        });
        // What an edit list puts before time 0 is the encoder's priming, which nobody hears.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
        let unheard = (-start_ms.unwrap_or(0.0).min(0.0) * f64::from(rate_hz) / 1000.0).round() as usize;
        let unheard = if heard.frames == 0 { unheard.min(frame.samples()) } else { 0 };
        heard.sound.hear(&self.samples[unheard * usize::from(channels)..]);
        let block_ms = frame.samples() as f64 * 1000.0 / f64::from(rate_hz);
        heard.end_ms = start_ms.map(|start_ms| start_ms + block_ms).or(heard.end_ms);
        let sounding = frame.samples() - unheard;
        heard.frames += sounding as u64;
        heard.block_ms = heard.block_ms.max(block_ms);
        self.extent.came(sounding as f64 * 1000.0 / f64::from(rate_hz));
    }

    /// What was found, or why nothing was.
    pub(super) fn finish(mut self) -> Result<Sounding, String> {
        let _ = self.decoder.send_eof();
        self.drain();
        if let Some(why) = self.spoiled {
            return Err(why);
        }
        let Some(Heard { sound, rate_hz, channels, frames, block_ms, first_ms, end_ms }) =
            self.heard.filter(|heard| heard.frames > 0)
        else {
            return Err("not a sample of the sound can be decoded".to_owned());
        };
        let lasted_ms = frames as f64 * 1000.0 / f64::from(rate_hz);
        let missing_ms = self.extent.missing_ms((first_ms.unwrap_or(0.0), end_ms.unwrap_or(lasted_ms)), 0, block_ms);
        let early = extent::said("sound", self.extent.stated_ms(), missing_ms);
        let found = sound.finish();
        let (loudness, unmetered) = match found.loudness {
            Ok(loudness) => (Some(loudness), None),
            Err(why) => (None, Some(why)),
        };
        let audio = AudioInspection {
            codec: self.codec,
            sample_rate_hz: rate_hz,
            channels: channels.into(),
            duration_s: found.duration_s,
            missing_s: missing_ms.map(|ms| ms / 1000.0),
            decode_errors: self.decode_errors,
            silence: found.silence,
            clipping: found.clipping,
            loudness,
        };
        let span_ms = first_ms.map(|from_ms| (from_ms, from_ms + lasted_ms));
        Ok(Sounding { audio, unmetered, early, span_ms })
    }
}

/// The samples of a frame, channel by channel for each moment, full scale at 1.
fn interleave(frame: &frame::Audio, samples: &mut Vec<f32>) -> Result<(), String> {
    let (format, channels) = (frame.format(), usize::from(frame.channels()));
    let read: fn(&[u8]) -> f32 = match format {
        Sample::U8(_) => |bytes| (f32::from(bytes[0]) - 128.0) / 128.0,
        Sample::I16(_) => |bytes| f32::from(i16::from_ne_bytes([bytes[0], bytes[1]])) / 32_768.0,
        Sample::I32(_) => |bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as f32 / 2_147_483_648.0,
        Sample::F32(_) => |bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        #[allow(clippy::cast_possible_truncation, reason = "sound needs no more precision")]
        Sample::F64(_) => |bytes| {
            f64::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]) as f32
        },
        Sample::I64(_) | Sample::None => return Err(format!("sound as {format:?} cannot be read")),
    };
    let is_planar = matches!(
        format,
        Sample::U8(Type::Planar)
            | Sample::I16(Type::Planar)
            | Sample::I32(Type::Planar)
            | Sample::F32(Type::Planar)
            | Sample::F64(Type::Planar)
    );
    if is_planar && frame.channels() > PLANES_MAX {
        return Err(format!("sound of more than {PLANES_MAX} channels in planes cannot be read"));
    }
    let bytes = format.bytes();
    samples.clear();
    samples.resize(frame.samples() * channels, 0.0);
    if is_planar {
        for channel in 0..channels {
            let plane = frame.data(channel).chunks_exact(bytes);
            for (to, from) in samples.iter_mut().skip(channel).step_by(channels).zip(plane) {
                *to = read(from);
            }
        }
    } else {
        for (to, from) in samples.iter_mut().zip(frame.data(0).chunks_exact(bytes)) {
            *to = read(from);
        }
    }
    Ok(())
}
