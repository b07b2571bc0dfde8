//! A ladder of live media: what comes is decoded once, and encoded for each rendition while it comes.
//!
//! Messages in, messages out ([`flame_cmaf::relay`]), from standard input to standard output, until the input ends. Every picture of the
//! source is in every rendition, shown at the same time; a segment of a rendition begins with an IDR picture at the beginning of the
//! source's segment and nowhere else, and its parts are as long as the source's. What reorders nothing could be decoded when it is shown;
//! but segments lie on the timeline by when their first picture is decoded, so a rendition's are decoded as much before as the source's.
//! Nothing looks ahead: what a chunk brings is out before the next one is read, as far as the decoder gives it. Pictures that cannot be
//! decoded are left out, with a line for the log.
//!
//! Each rendition has a thread ([`rung`]) with a short queue: one that is too slow makes the source wait, and so whoever sends it.
//! It leaves nothing out to catch up: what is left out is decided where whole segments can be.

mod rung;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use bytes::Bytes;
use ffmpeg_next::{Error as FfmpegError, Packet, codec, decoder, frame::Video};
use flame_api::live::{LadderTracks, LiveTrack};
use flame_api::media::TrackKind;
use flame_cmaf::movie::Media;
use flame_cmaf::pushed::{Piece, Pushed, PushedTrack};
use flame_cmaf::relay::{Message, Messages};
use flame_cmaf::samples::CodecConfig;
use flame_cmaf::{Colour, Sample};
use flame_media_child::live::{LivePlan, MESSAGE_MAX_BYTES};

use crate::{ffi, source, worker};
use rung::Rung;

/// Octets that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Pictures that wait for an encoder: no more than a part has.
const WAITING_MAX: usize = 8;
/// Pictures inside the decoder whose times are remembered; none reorders further.
const INSIDE_MAX: usize = 256;

/// Where all renditions write, a message at a time.
#[derive(Debug)]
struct Output(Mutex<File>);

/// What a rendition is told.
enum Work {
    /// A picture.
    Picture(Picture),
    /// The segment is whole.
    End {
        /// Its number.
        number: u64,
    },
}

/// A decoded picture.
#[derive(Clone)]
struct Picture {
    frame: Arc<Video>,
    /// Number of its segment.
    number: u64,
    /// When it is shown, ticks.
    ticks: i64,
    /// How much later than decoded the pictures of its segment are to be shown, ticks.
    delay_ticks: i64,
    duration_ticks: u32,
}

/// The messages that come.
struct Input {
    source: io::Stdin,
    messages: Messages,
    buffer: Vec<u8>,
}

/// The source: its decoder, and what is inside it.
struct Source {
    decoder: decoder::Video,
    pushed: Pushed,
    /// The segment under way.
    number: Option<u64>,
    /// When its first picture is decoded, and when that one is shown, ticks; none before it came.
    begins: Option<(i64, i64)>,
    /// How much later than decoded its pictures are to be shown, ticks; none before one of them was given out.
    delay_ticks: Option<i64>,
    /// Durations of the pictures inside, by the times at which they are shown.
    inside: BTreeMap<i64, u32>,
    /// Of pictures whose durations are not known.
    usual_ticks: u32,
    rungs: Vec<SyncSender<Work>>,
}

/// Serves one publication: from its plan to the end of standard input.
///
/// # Errors
/// What comes is no plan, no source that can be decoded, or its encoders fail; also when the parent is gone.
pub fn run() -> anyhow::Result<()> {
    source::initialise();
    let output = Output(Mutex::new(worker::take_stdout().context("cannot take over standard output")?));
    let mut input = Input::new();
    let Some(Message::Head(plan)) = input.next()? else { bail!("there is no plan") };
    let plan: LivePlan = serde_json::from_slice(&plan).context("the plan cannot be read")?;
    let Some(Message::Init { bytes, .. }) = input.next()? else { bail!("there is no init segment") };
    let (track, pushed) = describe(&bytes)?;
    let colour = match &track.media {
        Media::Picture(picture) => picture.colour,
        Media::Sound(_) => bail!("the source has no pictures"),
    };
    // Before anything is promised: what cannot be decoded has no renditions.
    let decoder = open_decoder(&track.info.codec)?;
    let rungs = open_rungs(&plan, &track, colour)?;
    output.write(&Message::Head(serde_json::to_vec(&tracks_of(&plan, &rungs))?.into()))?;
    for (at, rung) in rungs.iter().enumerate() {
        output.write(&Message::Init { track: place(at), bytes: rung.init().clone() })?;
    }
    let usual_ticks = plan.frame_rate.map_or(track.timescale / 30, |rate| {
        let ticks = u64::from(track.timescale) * u64::from(rate.den) / u64::from(rate.num.max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    });
    thread::scope(|scope| {
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for (at, rung) in rungs.into_iter().enumerate() {
            let (sender, receiver) = sync_channel(WAITING_MAX);
            let output = &output;
            let thread = thread::Builder::new().name(format!("rung-{at}"));
            threads.push(thread.spawn_scoped(scope, move || rung.run(&receiver, place(at), output))?);
            senders.push(sender);
        }
        let mut source = Source {
            decoder,
            pushed,
            number: None,
            begins: None,
            delay_ticks: None,
            inside: BTreeMap::new(),
            usual_ticks: usual_ticks.max(1),
            rungs: senders,
        };
        let read = source.read(&mut input);
        drop(source);
        for thread in threads {
            // What a rendition failed of says more than that nobody takes its pictures.
            thread.join().unwrap_or_else(|_| bail!("an encoder's thread panicked"))?;
        }
        read
    })
}

fn place(at: usize) -> u8 {
    u8::try_from(at).unwrap_or(u8::MAX)
}

fn describe(init: &[u8]) -> anyhow::Result<(PushedTrack, Pushed)> {
    let mut pushed = Pushed::new(MESSAGE_MAX_BYTES, None);
    pushed.push(init);
    match pushed.piece().context("the init segment cannot be used")? {
        Some(Piece::Track(track)) => Ok((*track, pushed)),
        Some(Piece::Samples(_) | Piece::Last) | None => bail!("the init segment is not whole"),
    }
}

fn open_rungs(plan: &LivePlan, track: &PushedTrack, colour: Option<Colour>) -> anyhow::Result<Vec<Rung>> {
    let open = |wanted| Rung::open(wanted, plan, track.timescale, colour);
    plan.rungs.iter().map(open).collect()
}

fn tracks_of(plan: &LivePlan, rungs: &[Rung]) -> LadderTracks {
    let track = |rung: &Rung| LiveTrack {
        name: rung.wanted().name.clone(),
        kind: TrackKind::Video,
        codec: rung.codec().to_owned(),
        timescale: rung.timescale(),
        part_ticks: rung.part_ticks(),
        width: Some(rung.wanted().width),
        height: Some(rung.wanted().height),
        frame_rate: plan.frame_rate,
        channels: None,
        sample_rate_hz: None,
        language: None,
    };
    LadderTracks { tracks: rungs.iter().map(track).collect() }
}

fn open_decoder(codec: &CodecConfig) -> anyhow::Result<decoder::Video> {
    let (id, record) = match codec {
        CodecConfig::Avc(record) => (codec::Id::H264, record),
        CodecConfig::Hevc(record) => (codec::Id::HEVC, record),
        CodecConfig::Aac(_)
        | CodecConfig::Ac3(_)
        | CodecConfig::Eac3(_)
        | CodecConfig::Opus(_)
        | CodecConfig::Other(_) => bail!("only H.264 and H.265 are decoded live"),
    };
    let found = decoder::find(id).context("this FFmpeg has no decoder for it")?;
    let mut context = codec::Context::new_with_codec(found);
    ffi::set_extradata(&mut context, record).context("there is no memory for the decoder's configuration")?;
    // Threads that take a picture each would hold as many back.
    context.set_threading(codec::threading::Config {
        count: 1,
        ..codec::threading::Config::kind(codec::threading::Type::Slice)
    });
    context.decoder().video().context("the source cannot be decoded")
}

// === impl Output ===

impl Output {
    fn write(&self, message: &Message) -> anyhow::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&message.encode()).context("the parent does not read")
    }
}

// === impl Input ===

impl Input {
    fn new() -> Self {
        Self { source: io::stdin(), messages: Messages::new(MESSAGE_MAX_BYTES), buffer: vec![0; READ_BYTES] }
    }

    /// The next message; `None` once there are no more.
    fn next(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            if let Some(message) = self.messages.message()? {
                return Ok(Some(message));
            }
            match self.source.read(&mut self.buffer) {
                Ok(0) => {
                    self.messages.end()?;
                    return Ok(None);
                }
                Ok(length) => self.messages.push(&self.buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the source cannot be read"),
            }
        }
    }
}

// === impl Source ===

impl Source {
    fn read(&mut self, input: &mut Input) -> anyhow::Result<()> {
        while let Some(message) = input.next()? {
            match message {
                Message::Chunk { number, bytes, .. } => {
                    if self.number != Some(number) {
                        self.end()?;
                        self.number = Some(number);
                    }
                    self.chunk(&bytes)?;
                }
                Message::End { number, .. } if self.number == Some(number) => self.end()?,
                Message::End { .. } => {}
                Message::Head(_) | Message::Init { .. } => bail!("what is sent changed in the middle"),
            }
        }
        self.end()
    }

    fn chunk(&mut self, bytes: &Bytes) -> anyhow::Result<()> {
        self.pushed.push(bytes);
        while let Some(piece) = self.pushed.piece().context("a chunk cannot be read")? {
            let Piece::Samples(samples) = piece else { bail!("a chunk is none") };
            for sample in samples {
                self.decode(&sample)?;
            }
        }
        Ok(())
    }

    fn decode(&mut self, sample: &Sample) -> anyhow::Result<()> {
        let mut packet = Packet::copy(&sample.data);
        packet.set_pts(Some(sample.pts_ticks));
        packet.set_dts(Some(sample.dts_ticks));
        if sample.is_sync {
            packet.set_flags(codec::packet::Flags::KEY);
        }
        self.begins.get_or_insert((sample.dts_ticks, sample.pts_ticks));
        self.inside.insert(sample.pts_ticks, sample.duration_ticks);
        while self.inside.len() > INSIDE_MAX {
            self.inside.pop_first();
        }
        if let Err(error) = self.decoder.send_packet(&packet) {
            eprintln!("a picture cannot be decoded, and is left out: {error}");
        }
        self.give_out()
    }

    /// The segment is whole: what is still inside the decoder belongs to it.
    fn end(&mut self) -> anyhow::Result<()> {
        let Some(number) = self.number else { return Ok(()) };
        // Where nothing came in, there is nothing to come out.
        let _ = self.decoder.send_eof();
        self.give_out()?;
        self.decoder.flush();
        self.inside.clear();
        (self.number, self.begins, self.delay_ticks) = (None, None, None);
        self.tell(|| Work::End { number })
    }

    fn give_out(&mut self) -> anyhow::Result<()> {
        loop {
            let mut frame = Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => {}
                Err(FfmpegError::Eof) => return Ok(()),
                Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::util::error::EAGAIN => return Ok(()),
                Err(error) => {
                    eprintln!("a picture cannot be decoded, and is left out: {error}");
                    return Ok(());
                }
            }
            let (Some(ticks), Some(number)) = (frame.timestamp().or(frame.pts()), self.number) else { continue };
            let duration_ticks = self.inside.remove(&ticks).filter(|ticks| *ticks > 0).unwrap_or(self.usual_ticks);
            // Pictures that are shown before the key frame make it no earlier than the source's segment: that would overlap the one before.
            let (decoded, shown) = self.begins.unwrap_or((ticks, ticks));
            let delay_ticks = *self.delay_ticks.get_or_insert((shown.min(ticks) - decoded).max(0));
            let picture = Picture { frame: Arc::new(frame), number, ticks, delay_ticks, duration_ticks };
            self.tell(|| Work::Picture(picture.clone()))?;
        }
    }

    fn tell(&self, work: impl Fn() -> Work) -> anyhow::Result<()> {
        for rung in &self.rungs {
            rung.send(work()).ok().context("a rendition has ended")?;
        }
        Ok(())
    }
}
