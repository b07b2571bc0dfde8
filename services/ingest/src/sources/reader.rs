//! Reads a source: which playlists it has, which segment is next, what is in it; until it ends.
//!
//! One request at a time, always for the track that is least far on. What it read it hands over and waits until that is wanted, so it
//! holds one segment. A segment that cannot be fetched is left out after some tries; a source of which nothing comes any more is an
//! error, and who owns the reader begins again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_playlist::{ReadError, ReadMedia, ReadMultivariant, ReadPart, ReadPlaylist, ReadSegment, read_playlist};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;
use url::Url;

use super::blend::{Container, Piece};
use super::cursor::{Cursor, Next};
use super::origin::Origin;
use super::pace::Unit;
use super::parser::{ParseError, Parser, Wanted};
use super::round::Rounds;
use crate::live::figures::Figures;
use crate::pull::fetch::{self, FetchError};
use crate::retry;

/// Tries for one segment.
const TRIES: u32 = 3;
/// Segments in a row that may be left out.
const MISSES_MAX: u32 = 3;
/// The longest pause between two tries for a segment.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The shortest time between two looks at a playlist.
const RELOAD_MIN: Duration = Duration::from_millis(300);
/// Times that jump further than this are another timeline, microseconds.
const JUMP_US: i64 = 10_000_000;
/// Codecs that can be sent on, by the beginnings of their names.
const CODECS: [&str; 10] = ["avc1", "avc3", "hvc1", "hev1", "av01", "mp4a", "Opus", "opus", "ac-3", "ec-3"];

/// What bounds a reader.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest playlist.
    pub playlist_max_bytes: usize,
    /// Longest segment.
    pub segment_max_bytes: usize,
    /// A playlist that names nothing new for so long is left.
    pub stale: Duration,
}

/// What is read.
#[derive(Debug)]
pub struct Reader {
    /// How it is fetched.
    pub origin: Origin,
    /// Its first playlist.
    pub url: Url,
    /// It begins again where it ends.
    pub is_loop: bool,
    /// What bounds it.
    pub bounds: Bounds,
    /// What is counted.
    pub figures: Figures,
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// What the source is made of.
    pub container: Container,
    /// Playlists that are read.
    pub lanes: usize,
    /// Counts how often the source began other times.
    pub epoch: u32,
    /// By track.
    pub units: BTreeMap<String, Vec<Unit<Piece>>>,
}

/// Why a source is not read on.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It could not be fetched.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// A playlist cannot be read.
    #[error("{url}: {source}")]
    Playlist {
        /// Where it is, without its query, which may hold a signature.
        url: String,
        /// Why not.
        source: ReadError,
    },
    /// A playlist cannot be followed.
    #[error("{url}: {what}")]
    Shape {
        /// Where it is, without its query, which may hold a signature.
        url: String,
        /// Why not.
        what: &'static str,
    },
    /// A segment cannot be read.
    #[error("{url}: {source}")]
    Segment {
        /// Where it is, without its query, which may hold a signature.
        url: String,
        /// Why not.
        source: ParseError,
    },
    /// Nothing more comes of it.
    #[error("{url} has named nothing new for {} s", .after.as_secs())]
    Stale {
        /// Where it is, without its query, which may hold a signature.
        url: String,
        /// How long.
        after: Duration,
    },
    /// What was named is not there.
    #[error("{MISSES_MAX} segments in a row could not be fetched; the last one: {0}")]
    Missing(FetchError),
}

/// A playlist of media, and how far it was read.
struct Lane {
    url: Url,
    media: Arc<ReadMedia>,
    looked_at: Instant,
    /// Whether the last look brought something.
    is_fresh: bool,
    changed_at: Instant,
    cursor: Cursor,
    wanted: Wanted,
    parser: Option<(Container, Parser)>,
    init: Option<ReadPart>,
    epoch: u32,
    /// Where what was read ends.
    end_us: Option<i64>,
    elapsed_ms: u64,
    is_over: bool,
}

// === impl Reader ===

impl Reader {
    /// Reads until the source ends, or nobody wants it any more.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn run(&self, sender: mpsc::Sender<Read>) -> Result<(), SourceError> {
        let mut rounds = Rounds::default();
        loop {
            let mut lanes = self.open().await?;
            self.read(&mut lanes, &mut rounds, &sender).await?;
            if !self.is_loop || sender.is_closed() {
                return Ok(());
            }
            if !rounds.turn() {
                return Err(SourceError::Shape { url: shown(&self.url), what: "it has no media to play again" });
            }
        }
    }

    /// Fetches the playlists that are to be read.
    async fn open(&self) -> Result<Vec<Lane>, SourceError> {
        let (url, playlist) = self.playlist(&self.url).await?;
        let multivariant = match playlist {
            ReadPlaylist::Media(media) => return Ok(vec![Lane::new(url, media, Wanted::All)]),
            ReadPlaylist::Multivariant(multivariant) => multivariant,
        };
        let (pictures, sound) = chosen(&url, &multivariant)?;
        let wanted = if sound.is_some() { Wanted::Pictures } else { Wanted::All };
        let mut lanes = Vec::new();
        for (url, wanted) in [Some((pictures, wanted)), sound.map(|url| (url, Wanted::Sound))].into_iter().flatten() {
            let (url, playlist) = self.playlist(&url).await?;
            let ReadPlaylist::Media(media) = playlist else {
                return Err(SourceError::Shape { url: shown(&url), what: "a variant names variants" });
            };
            lanes.push(Lane::new(url, media, wanted));
        }
        Ok(lanes)
    }

    async fn playlist(&self, url: &Url) -> Result<(Url, ReadPlaylist), SourceError> {
        let (url, octets) = self.fetch(url, None, self.bounds.playlist_max_bytes).await?;
        let text = String::from_utf8_lossy(&octets);
        match read_playlist(&text) {
            Ok(playlist) => Ok((url, playlist)),
            Err(source) => Err(SourceError::Playlist { url: shown(&url), source }),
        }
    }

    /// With some tries.
    async fn fetch(&self, url: &Url, range: Option<(u64, u64)>, max_bytes: usize) -> Result<(Url, Bytes), FetchError> {
        let mut attempts = 0;
        loop {
            match self.origin.get(url, range, max_bytes).await {
                Ok((url, octets)) => {
                    self.figures.received_bytes.inc_by(octets.len() as u64);
                    return Ok((url, octets));
                }
                Err(FetchError::Later(_)) if attempts + 1 < TRIES => {
                    attempts += 1;
                    tokio::time::sleep(retry::pause(attempts, PAUSE_MAX)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads all playlists to their end.
    async fn read(
        &self,
        lanes: &mut [Lane],
        rounds: &mut Rounds,
        sender: &mpsc::Sender<Read>,
    ) -> Result<(), SourceError> {
        let (count, mut misses) = (lanes.len(), 0);
        loop {
            lanes.sort_by_key(|lane| lane.elapsed_ms);
            let mut next = None;
            for (at, lane) in lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.is_over) {
                let media = Arc::clone(&lane.media);
                match lane.cursor.step(&media) {
                    Next::Over => lane.is_over = true,
                    Next::Wait => {}
                    Next::Segment { segment, is_cut } => {
                        next = Some((at, segment.clone(), is_cut));
                        break;
                    }
                }
            }
            let Some((at, segment, is_cut)) = next else {
                match lanes.iter_mut().filter(|lane| !lane.is_over).min_by_key(|lane| lane.looks_at()) {
                    None => return Ok(()),
                    Some(lane) => self.look(lane, sender).await?,
                }
                if sender.is_closed() {
                    return Ok(());
                }
                continue;
            };
            let lane = &mut lanes[at];
            lane.elapsed_ms += segment.duration_ms;
            match self.segment(lane, &segment, is_cut).await {
                Ok(Some((container, mut units))) => {
                    misses = 0;
                    let is_pictures = lane.wanted != Wanted::Sound;
                    if self.is_loop && !rounds.shift(&mut units, is_pictures, |name| lane.timescale(name)) {
                        continue;
                    }
                    let read = Read { container, lanes: count, epoch: lane.epoch, units };
                    if sender.send(read).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(None) => {}
                Err(SourceError::Fetch(error)) => {
                    misses += 1;
                    tracing::warn!(%error, misses, "a segment of a source is left out");
                    if misses == MISSES_MAX {
                        return Err(SourceError::Missing(error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at a playlist again, when it is time.
    async fn look(&self, lane: &mut Lane, sender: &mpsc::Sender<Read>) -> Result<(), SourceError> {
        tokio::select! {
            () = tokio::time::sleep_until(lane.looks_at()) => {}
            () = sender.closed() => return Ok(()),
        }
        let (_, playlist) = self.playlist(&lane.url).await?;
        let ReadPlaylist::Media(media) = playlist else {
            return Err(SourceError::Shape { url: shown(&lane.url), what: "it named media, and names variants now" });
        };
        let stale = self.bounds.stale.max(3 * Duration::from_secs(media.target_s.min(60)));
        lane.looked_at = Instant::now();
        lane.is_fresh = media != *lane.media;
        if lane.is_fresh {
            lane.changed_at = lane.looked_at;
        } else if lane.changed_at.elapsed() > stale {
            return Err(SourceError::Stale { url: shown(&lane.url), after: stale });
        }
        lane.media = Arc::new(media);
        Ok(())
    }

    /// Fetches a segment, and what it needs in front of it; `None` where there is none.
    async fn segment(
        &self,
        lane: &mut Lane,
        segment: &ReadSegment,
        is_cut: bool,
    ) -> Result<Option<(Container, BTreeMap<String, Vec<Unit<Piece>>>)>, SourceError> {
        let of = |part: &ReadPart| {
            let url = lane.url.join(&part.uri).ok();
            url.ok_or_else(|| SourceError::Shape { url: shown(&lane.url), what: "it names what is no URL" })
        };
        if segment.is_encrypted {
            let what = "its segments are encrypted, which is not taken apart here";
            return Err(SourceError::Shape { url: shown(&lane.url), what });
        }
        let url = of(&segment.part)?;
        let init = segment.init.clone().map(|init| of(&init).map(|url| (init, url))).transpose()?;
        if is_cut {
            lane.epoch += 1;
            lane.end_us = None;
        }
        let container = if init.is_some() { Container::Fragments } else { Container::TransportStream };
        let max_bytes = self.bounds.segment_max_bytes;
        if lane.parser.as_ref().is_none_or(|(known, _)| *known != container) {
            lane.parser = Some((container, Parser::new(container, lane.wanted, max_bytes)));
        }
        if segment.is_gap {
            return Ok(None);
        }
        let fresh = init.filter(|(init, _)| lane.init.as_ref() != Some(init));
        if let Some((init, url)) = fresh {
            let (_, octets) = self.fetch(&url, init.range, self.bounds.playlist_max_bytes).await?;
            if let Some((_, parser)) = &mut lane.parser {
                parser.init(&octets).map_err(|source| SourceError::Segment { url: shown(&url), source })?;
            }
            lane.init = Some(init);
        }
        let (_, octets) = self.fetch(&url, segment.part.range, max_bytes).await?;
        let Some((_, parser)) = &mut lane.parser else { return Ok(None) };
        if is_cut {
            parser.cut();
        }
        let units = parser.segment(&octets).map_err(|source| SourceError::Segment { url: shown(&url), source })?;
        lane.follow(&units);
        Ok(Some((container, units)))
    }
}

/// The variant with the most bits per second of those that can be sent on, and its sound where that stands apart.
fn chosen(url: &Url, multivariant: &ReadMultivariant) -> Result<(Url, Option<Url>), SourceError> {
    let shape = |what| SourceError::Shape { url: shown(url), what };
    let is_known = |codec: &String| CODECS.iter().any(|known| codec.starts_with(known));
    let variants = multivariant.variants.iter().filter(|variant| variant.codecs.iter().all(is_known));
    let best = variants.max_by_key(|variant| variant.bandwidth_bps);
    let best = best.ok_or_else(|| shape("none of its variants has codecs that can be sent on"))?;
    let of_group = || multivariant.sounds.iter().filter(|sound| Some(&sound.group) == best.audio.as_ref());
    let sound = of_group().find(|sound| sound.is_default).or_else(|| of_group().next());
    let join = |uri: &str| url.join(uri).map_err(|_| shape("it names what is no URL"));
    // A variant of sound alone names its own playlist again.
    let sound = sound.and_then(|sound| sound.uri.as_deref()).filter(|uri| *uri != best.uri);
    Ok((join(&best.uri)?, sound.map(join).transpose()?))
}

fn shown(url: &Url) -> String {
    fetch::shown(url).into()
}

// === impl Lane ===

impl Lane {
    fn new(url: Url, media: ReadMedia, wanted: Wanted) -> Self {
        let now = Instant::now();
        Self {
            url,
            media: Arc::new(media),
            looked_at: now,
            is_fresh: true,
            changed_at: now,
            cursor: Cursor::default(),
            wanted,
            parser: None,
            init: None,
            epoch: 0,
            end_us: None,
            elapsed_ms: 0,
            is_over: false,
        }
    }

    /// When the playlist should be looked at again (RFC 8216bis section 6.3.4).
    fn looks_at(&self) -> Instant {
        let target = Duration::from_secs(self.media.target_s.clamp(1, 60));
        let pause = if self.is_fresh { target } else { target / 2 };
        self.looked_at + pause.max(RELOAD_MIN)
    }

    fn timescale(&self, name: &str) -> Option<u32> {
        match &self.parser {
            Some((_, Parser::Fragments(fragments))) => fragments.timescale(name),
            Some((_, Parser::TransportStream(_))) | None => None,
        }
    }

    /// Times that jump are another timeline, whether that was said or not.
    fn follow(&mut self, units: &BTreeMap<String, Vec<Unit<Piece>>>) {
        let all = || units.values().flatten().map(|unit| unit.at_us);
        let (Some(first), Some(last)) = (all().min(), all().max()) else { return };
        if self.end_us.is_some_and(|end| (first - end).abs() > JUMP_US) {
            self.epoch += 1;
        }
        self.end_us = Some(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_variant_that_can_be_sent_on_is_taken_with_its_sound() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"en\",NAME=\"1\",URI=\"other.m3u8\"\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"2\",URI=\"second.m3u8\"\n\
                    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"3\",DEFAULT=YES,URI=\"sound.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c01e,mp4a.40.2\",AUDIO=\"a\"\nsmall.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=3,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"a\"\nlarge.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"vp09.00.10.08\"\nnew.m3u8\n";
        let ReadPlaylist::Multivariant(read) = read_playlist(text).unwrap() else { panic!("it names others") };
        let url: Url = "http://h.example/a/b.m3u8?x=1".parse().unwrap();
        let (pictures, sound) = chosen(&url, &read).unwrap();
        assert_eq!(pictures.as_str(), "http://h.example/a/large.m3u8");
        assert_eq!(sound.unwrap().as_str(), "http://h.example/a/sound.m3u8");
    }
}
