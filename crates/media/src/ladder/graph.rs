//! The pipeline: decoded media in, one encoder a track, writers at the end.
//!
//! For video: `appsrc`, front elements, `tee`, and a branch a rung; for each sound one branch. The writers run in
//! the encoders' threads; a writer that is slow slows its encoder, and the small queues slow the decoder.
//! Nothing here waits for a clock, and no stream waits for another.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flame_api::media::Thumbnails;
use flame_cmaf::PictureCodec;
use flame_media_child::protocol::{Agreed, AudioRung, GopRange, LadderPlan};
use gstreamer::{self as gst, glib, prelude::*};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_audio as gst_audio;
use gstreamer_video as gst_video;

use super::{
    audio_track::{AudioFeed, AudioTrack, AudioTrackSettings},
    chunk::{Chunk, Rung},
    coder::{Coded, Coder},
    cut::Cut,
    elements,
    encoded::{Encoded, codec_data, colour_of},
    feed::Sources,
    grid::{CellStarts, Grid},
    thumbnails::Sheets,
    timeline::{Kind, Settled, Timeline},
    video_track::{Picture, VideoTrack},
};
use crate::fault::MediaError;

/// Frames, and buffers of sound, that wait in front of the pipeline.
const SOURCE_FRAMES: u64 = 4;
const SOURCE_SOUNDS: u64 = 64;

/// What the pipeline's threads and the one that watches them share.
pub(super) struct Shared {
    pub(super) timeline: Arc<Timeline>,
    /// Time of the source from which running time is counted, nanoseconds.
    origin_ns: OnceLock<i64>,
    /// Rungs in the plan's order.
    pub(super) video: Vec<Mutex<Option<Rung>>>,
    /// For each rung, what encodes it, if that is no element.
    coders: Vec<Option<Mutex<Coder>>>,
    /// Sounds in the plan's order.
    pub(super) audio: Vec<Mutex<Option<AudioTrack>>>,
    pub(super) audio_feeds: Vec<Arc<AudioFeed>>,
    /// Frames that the source gave.
    pub(super) source_frames: AtomicU64,
    /// End of what each track has written, running time; video rungs first, then sounds.
    positions_ns: Vec<AtomicU64>,
    /// Set by the decoding thread at its end.
    pub(super) thumbnails: Mutex<Option<Thumbnails>>,
    /// The first failure of a writer: the bus only says that a stream stopped.
    failure: Mutex<Option<MediaError>>,
    starts: CellStarts,
}

/// Builds the pipeline for `plan`, and the sources to feed it by; it is not started. Each sound may have a gain, decibels; of a `range`
/// of GOPs there are chunks, and no tracks.
pub(super) fn build(
    folder: &Path,
    plan: &LadderPlan,
    gains_db: &[Option<f64>],
    range: Option<GopRange>,
) -> Result<(gst::Pipeline, Sources, Arc<Shared>), MediaError> {
    let cut = Cut::of(plan, range)?;
    let shared = Arc::new(Shared::new(folder, plan, cut.as_ref())?);
    let pipeline = gst::Pipeline::new();
    let fullness = range.map(|range| range.buffer_percent);
    let video = (!plan.video.is_empty()).then(|| video_branch(&pipeline, plan, fullness, &shared)).transpose()?;
    let sounds = plan.audio.iter().enumerate().map(|(n, rung)| {
        let gain_db = gains_db.get(n).copied().flatten();
        Ok((rung.sound, audio_branch(&pipeline, n, (rung, gain_db), &shared)?))
    });
    let audio = sounds.collect::<Result<Vec<_>, MediaError>>()?;
    let sheets = plan.thumbnails.as_ref().map(|thumbnails| Sheets::new(folder, thumbnails, plan.rotation_deg));
    let origin_ns = plan.agreed.map(|agreed| agreed.origin_ns);
    let sources = Sources { video, audio, frame_rate: plan.frame_rate, sheets, origin_ns, cut };
    Ok((pipeline, sources, shared))
}

fn video_branch(
    pipeline: &gst::Pipeline,
    plan: &LadderPlan,
    fullness: Option<u8>,
    shared: &Arc<Shared>,
) -> Result<AppSrc, MediaError> {
    let source = source(SOURCE_FRAMES);
    let tee = elements::make("tee")?;
    let mut front = vec![source.clone().upcast()];
    front.extend(elements::video_front(plan)?);
    watch_frames(front.last().unwrap_or(&tee), shared)?;
    front.push(tee.clone());
    link(pipeline, &front)?;
    for (n, rung) in plan.video.iter().enumerate() {
        let mut branch = elements::video_rung(rung, fullness)?;
        branch.push(match shared.coders[n] {
            Some(_) => {
                let (write, end) = (
                    move |shared: &Shared, sample: &_| shared.encode(n, sample),
                    move |shared: &Shared| shared.drain(n),
                );
                sink(shared, write, end)
            }
            None => sink(shared, move |shared, sample| shared.write_picture(n, sample), |_| Ok(())),
        });
        link(pipeline, &branch)?;
        tee.link(&branch[0]).map_err(|error| broken(&error))?;
    }
    Ok(source)
}

fn audio_branch(
    pipeline: &gst::Pipeline,
    n: usize,
    (rung, gain_db): (&AudioRung, Option<f64>),
    shared: &Arc<Shared>,
) -> Result<AppSrc, MediaError> {
    let source = source(SOURCE_SOUNDS);
    let mut branch = vec![source.clone().upcast()];
    branch.extend(elements::audio(rung, gain_db)?);
    watch_samples(branch.last().unwrap_or(&branch[0]), n, shared)?;
    branch.push(sink(shared, move |shared, sample| shared.write_unit(n, sample), |_| Ok(())));
    link(pipeline, &branch)?;
    Ok(source)
}

/// A branch for the sound `n` that ends in `hear` and in no encoder: it gets the samples that an encoder would get, channels
/// in turn.
pub(super) fn meter_branch(
    pipeline: &gst::Pipeline,
    n: usize,
    rung: &AudioRung,
    shared: &Arc<Shared>,
    hear: impl Fn(&[f32]) + Send + 'static,
) -> Result<AppSrc, MediaError> {
    let source = source(SOURCE_SOUNDS);
    let mut branch = vec![source.clone().upcast()];
    branch.extend(elements::metered(rung)?);
    let take = move |shared: &Shared, sample: &gst::Sample| {
        let Encoded { pts_ns, data, .. } = Encoded::of(sample)?;
        let pts_ns = pts_ns.unwrap_or(0);
        shared.timeline.begins(Kind::Audio(n), pts_ns);
        shared.positions_ns[n].fetch_max(pts_ns, Ordering::Relaxed);
        let (samples, _) = data.as_chunks::<4>();
        let samples: Vec<f32> = samples.iter().map(|sample| f32::from_le_bytes(*sample)).collect();
        hear(&samples);
        Ok(())
    };
    branch.push(sink(shared, take, |_| Ok(())));
    link(pipeline, &branch)?;
    Ok(source)
}

/// A source that holds few buffers and makes its feeder wait for room.
fn source(buffers: u64) -> AppSrc {
    AppSrc::builder()
        .format(gst::Format::Time)
        .block(true)
        .max_buffers(buffers)
        .max_bytes(0)
        .max_time(gst::ClockTime::ZERO)
        .build()
}

/// Counts the source's frames and asks for a keyframe in front of the first one of each GOP, before the tee,
/// so that it is the same frame in every rung.
fn watch_frames(last: &gst::Element, shared: &Arc<Shared>) -> Result<(), MediaError> {
    let pad = pad_of(last, "src")?;
    let starts = Mutex::new(shared.starts.clone());
    let shared = Arc::clone(shared);
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |pad, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let Some(running_ns) = buffer.pts().map(gst::ClockTime::nseconds) else {
                    shared.fail(MediaError::input("a frame of the video has no timestamp"));
                    return gst::PadProbeReturn::Drop;
                };
                shared.timeline.begins(Kind::Video, running_ns);
                shared.source_frames.fetch_add(1, Ordering::Relaxed);
                if starts.lock().expect("no panic while it is held").begins(running_ns) {
                    let event = gst_video::DownstreamForceKeyUnitEvent::builder()
                        .running_time(gst::ClockTime::from_nseconds(running_ns))
                        .all_headers(true)
                        .build();
                    pad.push_event(event);
                }
            }
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                shared.timeline.ended(Kind::Video);
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// Counts the samples that go into the encoder of the sound `n`.
fn watch_samples(encoder: &gst::Element, n: usize, shared: &Arc<Shared>) -> Result<(), MediaError> {
    let pad = pad_of(encoder, "sink")?;
    let shared = Arc::clone(shared);
    let frame_bytes = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let pts = buffer.pts().map_or(0, gst::ClockTime::nseconds);
                if shared.timeline.start_ns(Kind::Audio(n)).is_none() {
                    shared.audio_feeds[n].first_ns.store(pts, Ordering::Release);
                    shared.timeline.begins(Kind::Audio(n), pts);
                }
                let bytes = u64::try_from(buffer.size()).unwrap_or(0);
                let samples = bytes.checked_div(frame_bytes.load(Ordering::Relaxed)).unwrap_or(0);
                shared.audio_feeds[n].samples.fetch_add(samples, Ordering::AcqRel);
            }
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Caps(caps) => {
                    let bytes = gst_audio::AudioInfo::from_caps(caps.caps()).map_or(0, |info| u64::from(info.bpf()));
                    frame_bytes.store(bytes, Ordering::Relaxed);
                }
                gst::EventView::Eos(_) => shared.timeline.ended(Kind::Audio(n)),
                _ => {}
            },
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

/// A sink that hands every sample to `write` in the encoder's thread, and stops the stream if that fails. `end` is called before
/// anybody hears of the end.
fn sink(
    shared: &Arc<Shared>,
    write: impl Fn(&Shared, &gst::Sample) -> Result<(), MediaError> + Send + 'static,
    end: impl Fn(&Shared) -> Result<(), MediaError> + Send + 'static,
) -> gst::Element {
    let (shared, ending) = (Arc::clone(shared), Arc::clone(shared));
    let callbacks = AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            write(&shared, &sample).map(|()| gst::FlowSuccess::Ok).map_err(|error| {
                shared.fail(error);
                gst::FlowError::Error
            })
        })
        .eos(move |_| {
            // Whoever follows the pipeline looks for a failure when it has ended.
            if let Err(error) = end(&ending) {
                ending.fail(error);
            }
        })
        .build();
    let sink = AppSink::builder().sync(false).max_buffers(2).enable_last_sample(false).callbacks(callbacks).build();
    sink.set_async(false);
    // The last access unit holds priming and lies past the end that the source has promised.
    sink.set_drop_out_of_segment(false);
    sink.upcast()
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(folder: &Path, plan: &LadderPlan, cut: Option<&Cut>) -> Result<Self, MediaError> {
        let (has_video, sounds) = (!plan.video.is_empty(), plan.audio.len());
        let timeline = Arc::new(match plan.agreed {
            Some(Agreed { zero_ns, grid_ns, .. }) => Timeline::after(has_video, sounds, Settled { zero_ns, grid_ns }),
            None => Timeline::new(has_video, sounds),
        });
        let segments = Grid::new(Duration::from_millis(plan.segment_ms.into()));
        let video = plan.video.iter().map(|rung| {
            let rung = match cut {
                Some(_) => Rung::Chunk(Chunk::new(folder, &rung.name)),
                None => Rung::Track(Box::new(VideoTrack::of(folder, plan, rung, Arc::clone(&timeline))?)),
            };
            Ok(Mutex::new(Some(rung)))
        });
        let video = video.collect::<Result<Vec<_>, MediaError>>()?;
        let audio_feeds: Vec<_> = plan.audio.iter().map(|_| Arc::new(AudioFeed::default())).collect();
        let sounds = plan.audio.iter().zip(&audio_feeds).enumerate().map(|(sound, (rung, feed))| {
            let settings = AudioTrackSettings {
                sound,
                folder: folder.to_owned(),
                name: rung.name.clone(),
                sample_rate_hz: rung.sample_rate_hz,
                channels: rung.channels,
                language: rung.language.clone(),
                segments,
            };
            Mutex::new(Some(AudioTrack::new(settings, Arc::clone(&timeline), Arc::clone(feed))))
        });
        let audio: Vec<_> = sounds.collect();
        let gop = Duration::from_millis(plan.gop_ms.into());
        let coders =
            plan.video.iter().map(|rung| Coder::new(rung, plan.track_frame_rate(), gop).map(Mutex::new)).collect();
        let tracks = video.len() + audio.len();
        Ok(Self {
            timeline,
            origin_ns: OnceLock::new(),
            video,
            coders,
            audio,
            audio_feeds,
            source_frames: AtomicU64::new(0),
            positions_ns: (0..tracks).map(|_| AtomicU64::new(0)).collect(),
            thumbnails: Mutex::new(None),
            failure: Mutex::new(None),
            starts: cut.map_or_else(|| CellStarts::new(gop), Cut::starts),
        })
    }

    /// Running time is counted from this time of the source, nanoseconds. Later calls change nothing.
    pub(super) fn count_from(&self, origin_ns: i128) {
        if let Ok(origin_ns) = i64::try_from(origin_ns) {
            self.origin_ns.get_or_init(|| origin_ns);
        }
    }

    /// Where the tracks begin, once they have; none where no other track could be told.
    pub(super) fn agreed(&self) -> Option<Agreed> {
        let (settled, origin_ns) = (self.timeline.settled(true)?, *self.origin_ns.get()?);
        Some(Agreed { origin_ns, zero_ns: settled.zero_ns, grid_ns: settled.grid_ns })
    }

    /// How much of the presentation every rung has; without pictures, the sound that has most: others may be shorter.
    pub(super) fn position_ns(&self) -> u64 {
        let Some(settled) = self.timeline.settled(false) else { return 0 };
        let rungs = self.positions_ns[..self.video.len()].iter().map(|position| position.load(Ordering::Relaxed));
        let position_ns = rungs.min().unwrap_or_else(|| self.end_ns());
        // Running times begin high up, where encoders leave them alone.
        position_ns.saturating_sub(settled.zero_ns)
    }

    /// How much of its promised duration each track has, 0 to 1.
    pub(super) fn parts(&self, duration_ms: u64) -> Vec<f64> {
        let zero_ns = self.timeline.settled(false).map_or(u64::MAX, |settled| settled.zero_ns);
        let positions = self.positions_ns.iter().map(|position| position.load(Ordering::Relaxed));
        #[allow(clippy::cast_precision_loss, reason = "only shown")]
        let share = |ns: u64| (ns as f64 / 1e6 / duration_ms.max(1) as f64).min(1.0);
        positions.map(|position_ns| share(position_ns.saturating_sub(zero_ns))).collect()
    }

    /// Running time that the longest track has reached.
    pub(super) fn end_ns(&self) -> u64 {
        self.positions_ns.iter().map(|position| position.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// Keeps the first failure.
    pub(super) fn fail(&self, error: MediaError) {
        lock(&self.failure).get_or_insert(error);
    }

    /// The first failure, if there was one.
    pub(super) fn failure(&self) -> Option<MediaError> {
        lock(&self.failure).clone()
    }

    fn write_picture(&self, rung: usize, sample: &gst::Sample) -> Result<(), MediaError> {
        let mut track = lock(&self.video[rung]);
        let Some(track) = track.as_mut() else { return Ok(()) };
        if !track.is_configured() {
            track.configure(PictureCodec::Avc(codec_data(sample)?), colour_of(sample))?;
        }
        let encoded = Encoded::of(sample)?;
        let running_ns = encoded.pts_ns.ok_or_else(|| MediaError::environment("the encoder lost a timestamp"))?;
        let end_ns = running_ns + encoded.duration_ns.unwrap_or(0);
        self.positions_ns[rung].fetch_max(end_ns, Ordering::Relaxed);
        let Encoded { duration_ns, is_key, data, .. } = encoded;
        track.push(Picture { running_ns, duration_ns, is_key, data })
    }

    /// Encodes a picture of a rung that no element encodes.
    fn encode(&self, rung: usize, sample: &gst::Sample) -> Result<(), MediaError> {
        let Some(coder) = &self.coders[rung] else { return Ok(()) };
        let mut coder = lock(coder);
        let ready = coder.push(sample, colour_of(sample))?;
        self.write_coded(rung, &coder, ready)
    }

    /// Takes what is left in the encoder of such a rung.
    fn drain(&self, rung: usize) -> Result<(), MediaError> {
        let Some(coder) = &self.coders[rung] else { return Ok(()) };
        let mut coder = lock(coder);
        let ready = coder.finish()?;
        self.write_coded(rung, &coder, ready)
    }

    fn write_coded(&self, rung: usize, coder: &Coder, ready: Vec<Coded>) -> Result<(), MediaError> {
        let mut track = lock(&self.video[rung]);
        let Some(track) = track.as_mut() else { return Ok(()) };
        for Coded { running_ns, duration_ns, is_key, data } in ready {
            if !track.is_configured() {
                let (codec, colour) = coder.record()?;
                track.configure(codec, colour)?;
            }
            self.positions_ns[rung].fetch_max(running_ns + duration_ns.unwrap_or(0), Ordering::Relaxed);
            track.push(Picture { running_ns, duration_ns, is_key, data })?;
        }
        Ok(())
    }

    fn write_unit(&self, sound: usize, sample: &gst::Sample) -> Result<(), MediaError> {
        let mut track = lock(&self.audio[sound]);
        let Some(track) = track.as_mut() else { return Ok(()) };
        if !track.is_configured() {
            track.configure(&codec_data(sample)?)?;
        }
        let encoded = Encoded::of(sample)?;
        if let Some(pts_ns) = encoded.pts_ns {
            self.positions_ns[self.video.len() + sound].fetch_max(pts_ns, Ordering::Relaxed);
        }
        track.push(encoded.data)
    }
}

fn pad_of(element: &gst::Element, name: &str) -> Result<gst::Pad, MediaError> {
    element.static_pad(name).ok_or_else(|| MediaError::environment(format!("{} has no pad {name}", element.name())))
}

fn link(pipeline: &gst::Pipeline, chain: &[gst::Element]) -> Result<(), MediaError> {
    pipeline.add_many(chain).and_then(|()| gst::Element::link_many(chain)).map_err(|error| broken(&error))
}

fn broken(error: &glib::BoolError) -> MediaError {
    MediaError::environment(format!("the pipeline cannot be built: {error}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while it is held")
}
