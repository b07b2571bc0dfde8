//! One viewer: fetches what a player would, when it would. Decides nothing: rung, pauses, stalls are said by the pure parts.
//!
//! One request at a time. Playlists and segments are read whole and thrown away: nothing is decoded, nothing kept.

mod live;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flame_playlist::{ReadMedia, ReadMultivariant, ReadPart, ReadPlaylist, ReadSound, read_playlist};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::header::RANGE;
use tokio::time::Instant;
use url::Url;

use crate::buffer::{Buffer, State};
use crate::cmcd::{Kind, Told};
use crate::crowd::Load;
use crate::ladder::{Seen, Throughput, choose};
use crate::ledger::Ledger;
use crate::profile::Stay;
use crate::zipf::Zipf;

/// How often a viewer asks for one thing before it gives up what it watches.
const ATTEMPTS: u32 = 3;
/// The pause after a failure, and after something that could not be watched.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest body that is read.
const BODY_MAX_BYTES: u64 = 256 << 20;

/// What all viewers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub http: reqwest::Client,
    pub load: Load,
    pub zipf: Zipf,
    pub ledger: Ledger,
    pub began: Instant,
}

/// Something that is watched.
struct Session<'a> {
    shared: &'a Shared,
    id: String,
    content: String,
    buffer: Buffer,
    throughput: Throughput,
    /// Rung of the segment before.
    rung: Option<usize>,
    has_started: bool,
    stalls: u32,
    stalled_ms: u64,
    was_starved: bool,
}

/// Segments of one kind.
struct Track {
    kind: Kind,
    /// Its renditions, by rising bit rate; one for sound.
    rungs: Vec<Rung>,
    next: usize,
    end_ms: u64,
    is_done: bool,
}

struct Rung {
    url: Url,
    bps: u64,
    media: Option<ReadMedia>,
}

/// What could not be had: it was noted already.
struct Lost;

// === impl Shared ===

impl Shared {
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gets a resource whole; its bytes, and how long that took in seconds.
    async fn get(&self, url: &Url, range: Option<(u64, u64)>, told: &Told<'_>) -> Result<(Vec<u8>, f64), Lost> {
        let (at_ms, began) = (self.now_ms(), Instant::now());
        let mut request = self.http.get(url.clone()).timeout(self.load.deadline);
        if let Some((from, length)) = range {
            request = request.header(RANGE, format!("bytes={from}-{}", from + length.max(1) - 1));
        }
        if self.load.tells {
            request = told.fields().into_iter().fold(request, |request, (name, value)| request.header(name, value));
        }
        let lost = |reason: &'static str| {
            self.ledger.failed(at_ms, reason);
            Lost
        };
        let mut answer = request.send().await.map_err(|error| lost(no_answer(&error)))?;
        let head = began.elapsed();
        if !answer.status().is_success() {
            return Err(lost(status(answer.status().as_u16())));
        }
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) if (body.len() + piece.len()) as u64 > BODY_MAX_BYTES => {
                    return Err(lost("a body without end"));
                }
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) if error.is_timeout() => return Err(lost("too late")),
                Err(_) => return Err(lost("broken off")),
            }
        }
        let whole = began.elapsed();
        let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.ledger.answered(at_ms, us(head), us(whole), body.len() as u64);
        Ok((body, whole.as_secs_f64()))
    }
}

fn no_answer(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "too late"
    } else if error.is_connect() {
        "no connection"
    } else {
        "no answer"
    }
}

/// The reasons that are told apart by their status.
fn status(code: u16) -> &'static str {
    match code {
        404 => "404",
        421 => "421",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        other if other > 500 => "another error of the server",
        _ => "refused",
    }
}

/// Stays as long as it was told to, and watches one thing after the other.
pub(crate) async fn watch(shared: Arc<Shared>, number: usize, stay: Stay) {
    let at = |ms: u64| shared.began + Duration::from_millis(ms);
    tokio::time::sleep_until(at(stay.from_ms)).await;
    shared.ledger.came(true);
    let mut draws = StdRng::seed_from_u64(shared.load.seed.wrapping_add(number as u64));
    let mut count = 0_u64;
    while shared.now_ms() < stay.until_ms {
        let playlist = &shared.load.playlists[shared.zipf.pick(draws.random::<f64>())];
        let id = format!("{:x}-{number}-{count}", shared.load.seed);
        let mut session = Session::new(&shared, id, playlist);
        count += 1;
        let seen = tokio::time::timeout_at(at(stay.until_ms), session.run(playlist)).await;
        session.leave();
        if matches!(seen, Ok(Err(Lost))) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    shared.ledger.came(false);
}

// === impl Session ===

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, id: String, playlist: &Url) -> Self {
        // The asset: what stands in front of the playlist's own name.
        let content = playlist.path_segments().and_then(|parts| parts.rev().nth(1)).unwrap_or("content").to_owned();
        let buffer = Buffer::new(shared.now_ms(), shared.load.start_ms);
        let (throughput, rung, has_started) = (Throughput::default(), None, false);
        let content = content.replace(['"', '\\'], "");
        Self {
            shared,
            id,
            content,
            buffer,
            throughput,
            rung,
            has_started,
            stalls: 0,
            stalled_ms: 0,
            was_starved: false,
        }
    }

    /// Watches to the end.
    async fn run(&mut self, playlist: &Url) -> Result<(), Lost> {
        let mut tracks = self.tracks(playlist).await?;
        let Some(main) = tracks.first_mut() else { return Err(self.unreadable()) };
        if main.rungs[0].media.is_none() {
            let url = main.rungs[0].url.clone();
            let text = self.get(&url, None, Kind::Playlist, None, None).await?.0;
            main.rungs[0].media = Some(media(&text).ok_or_else(|| self.unreadable())?);
        }
        if main.rungs[0].media.as_ref().is_some_and(|media| !media.has_ended) {
            return self.follow(tracks).await;
        }
        let mut inits = BTreeSet::new();
        loop {
            let open = tracks.iter_mut().filter(|track| !track.is_done);
            let Some(track) = open.min_by_key(|track| track.end_ms) else { break };
            self.buffer.pass(self.shared.now_ms());
            let ahead_ms = track.end_ms.saturating_sub(self.buffer.position_ms());
            let room_ms = self.shared.load.buffer_ms;
            if self.buffer.state() == State::Playing && ahead_ms > room_ms {
                tokio::time::sleep(Duration::from_millis(ahead_ms - room_ms)).await;
                continue;
            }
            self.segment(track, &mut inits).await?;
            let is_whole = tracks.iter().all(|track| track.is_done);
            // A track that is done holds nothing up.
            let ends = tracks.iter().filter(|track| !track.is_done || is_whole).map(|track| track.end_ms);
            if let Some(end_ms) = ends.min() {
                self.buffer.reaches(self.shared.now_ms(), end_ms, is_whole);
                self.note();
            }
        }
        self.buffer.pass(self.shared.now_ms());
        tokio::time::sleep(Duration::from_millis(self.buffer.ahead_ms())).await;
        Ok(())
    }

    /// Fetches the next segment of a track, and what it needs.
    async fn segment(&mut self, track: &mut Track, inits: &mut BTreeSet<Url>) -> Result<(), Lost> {
        let is_sound = track.kind == Kind::Audio;
        let rungs: Vec<u64> = track.rungs.iter().map(|rung| rung.bps).collect();
        let rung = if is_sound {
            0
        } else {
            let (current, throughput_bps) = (self.rung, self.throughput.bps());
            let (buffer_ms, buffer_max_ms) = (self.buffer.ahead_ms(), self.shared.load.buffer_ms);
            choose(&rungs, Seen { current, throughput_bps, buffer_ms, buffer_max_ms })
        };
        let url = track.rungs[rung].url.clone();
        if track.rungs[rung].media.is_none() {
            let text = self.get(&url, None, Kind::Playlist, None, None).await?.0;
            track.rungs[rung].media = Some(media(&text).ok_or_else(|| self.unreadable())?);
        }
        let Some(media) = &track.rungs[rung].media else { return Err(Lost) };
        let Some(segment) = media.segments.get(track.next).cloned() else {
            track.is_done = true;
            return Ok(());
        };
        let last = track.next + 1 == media.segments.len();
        if !segment.is_gap {
            if let Some(init) = &segment.init {
                let at = self.resolve(&url, init)?;
                if inits.insert(at.clone()) {
                    self.get(&at, init.range, Kind::Init, None, None).await?;
                }
            }
            let at = self.resolve(&url, &segment.part)?;
            let bps = track.rungs[rung].bps;
            let bitrate = (!is_sound).then(|| (bps, rungs.last().copied().unwrap_or(bps)));
            let (body, took_s) =
                self.get(&at, segment.part.range, track.kind, bitrate, Some(segment.duration_ms)).await?;
            if !is_sound {
                self.throughput.note(body.len() as u64, took_s);
                if self.rung.is_some_and(|before| before != rung) {
                    self.shared.ledger.switched(self.shared.now_ms());
                }
                self.rung = Some(rung);
            }
        }
        track.end_ms += segment.duration_ms;
        track.next += 1;
        track.is_done = last;
        Ok(())
    }

    /// What there is to watch.
    async fn tracks(&mut self, playlist: &Url) -> Result<Vec<Track>, Lost> {
        let text = self.get(playlist, None, Kind::Playlist, None, None).await?.0;
        let whole = |url: Url, bps, media| Rung { url, bps, media };
        let track = |kind, rungs| Track { kind, rungs, next: 0, end_ms: 0, is_done: false };
        let read = std::str::from_utf8(&text).ok().and_then(|text| read_playlist(text).ok());
        let ReadMultivariant { mut variants, sounds } = match read.ok_or_else(|| self.unreadable())? {
            ReadPlaylist::Media(media) => {
                return Ok(vec![track(Kind::Muxed, vec![whole(playlist.clone(), 0, Some(media))])]);
            }
            ReadPlaylist::Multivariant(multivariant) => multivariant,
        };
        variants.sort_by_key(|variant| variant.bandwidth_bps);
        let cap_bps = self.shared.load.cap_bps.unwrap_or(u64::MAX);
        let lowest = variants.first().ok_or_else(|| self.unreadable())?.clone();
        // Those that sound alike: other groups are the same pictures again.
        variants.retain(|one| one.audio == lowest.audio && (one.bandwidth_bps <= cap_bps || one.uri == lowest.uri));
        let rungs =
            variants.iter().filter_map(|one| Some(whole(playlist.join(&one.uri).ok()?, one.bandwidth_bps, None)));
        let group = |sound: &&ReadSound| Some(&sound.group) == lowest.audio.as_ref();
        let of_group: Vec<&ReadSound> = sounds.iter().filter(group).collect();
        let sound =
            of_group.iter().find(|sound| sound.is_default).or(of_group.first()).and_then(|sound| sound.uri.as_ref());
        let sound = sound.and_then(|uri| playlist.join(uri).ok());
        let kind = if sound.is_some() { Kind::Video } else { Kind::Muxed };
        let mut tracks = vec![track(kind, rungs.collect())];
        tracks.extend(sound.map(|url| track(Kind::Audio, vec![whole(url, 0, None)])));
        if tracks.iter().any(|track| track.rungs.is_empty()) { Err(self.unreadable()) } else { Ok(tracks) }
    }

    fn resolve(&self, base: &Url, part: &ReadPart) -> Result<Url, Lost> {
        base.join(&part.uri).map_err(|_| self.unreadable())
    }

    fn unreadable(&self) -> Lost {
        self.shared.ledger.failed(self.shared.now_ms(), "an unreadable playlist");
        Lost
    }

    /// Gets something, a few times if it must.
    async fn get(
        &mut self,
        url: &Url,
        range: Option<(u64, u64)>,
        kind: Kind,
        bitrate: Option<(u64, u64)>,
        length_ms: Option<u64>,
    ) -> Result<(Vec<u8>, f64), Lost> {
        for attempt in 1..=ATTEMPTS {
            self.buffer.pass(self.shared.now_ms());
            let (session, content) = (self.id.as_str(), self.content.as_str());
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits a second are above 0")]
            let throughput_bps = self.throughput.bps().map(|bps| bps as u64);
            let told = Told {
                session,
                content,
                kind,
                bitrate_bps: bitrate.map(|(bps, _)| bps),
                top_bps: bitrate.map(|(_, top)| top),
                length_ms,
                buffer_ms: self.buffer.ahead_ms(),
                throughput_bps,
                is_urgent: self.buffer.state() != State::Playing,
                was_starved: std::mem::take(&mut self.was_starved),
            };
            if let Ok(got) = self.shared.get(url, range, &told).await {
                return Ok(got);
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(Lost)
    }

    /// Notes what has happened to the screen.
    fn note(&mut self) {
        let (ledger, now_ms) = (&self.shared.ledger, self.shared.now_ms());
        if let (Some(startup_ms), false) = (self.buffer.startup_ms(), self.has_started) {
            self.has_started = true;
            ledger.started(now_ms, startup_ms);
        }
        if self.buffer.stalls() > self.stalls && self.buffer.state() != State::Stalled {
            let stalled_ms = self.buffer.stalled_ms();
            ledger.stalled(now_ms, stalled_ms - self.stalled_ms);
            (self.stalls, self.stalled_ms, self.was_starved) = (self.buffer.stalls(), stalled_ms, true);
        }
    }

    /// The viewer is gone, or has seen all of it.
    fn leave(&mut self) {
        let now_ms = self.shared.now_ms();
        self.buffer.pass(now_ms);
        self.note();
        if self.buffer.stalls() > self.stalls {
            self.shared.ledger.stalled(now_ms, self.buffer.stalled_ms() - self.stalled_ms);
        }
        if self.buffer.position_ms() > 0 {
            self.shared.ledger.played(now_ms, self.buffer.position_ms());
        }
    }
}

/// The segments that a playlist names.
fn media(text: &[u8]) -> Option<ReadMedia> {
    match read_playlist(std::str::from_utf8(text).ok()?).ok()? {
        ReadPlaylist::Media(media) => Some(media),
        ReadPlaylist::Multivariant(_) => None,
    }
}
