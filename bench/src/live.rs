//! Live: how soon a part is with those who wait for it, one viewer and a thousand, through the router.
//!
//! Parts of made-up pictures are pushed as a door pushes them, one chunk at a time into one request a segment. A viewer's
//! delay counts from the moment at which the octets of the part are handed to the connection, to the end of the playlist that
//! names it. Then how many viewers the machine carries who take the media, too, at the pace of life. There is no peer: no other open
//! origin can be given parts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flame_api::live::{LiveTrack, NewChannel, NewPublication, Publication};
use flame_api::media::TrackKind;
use flame_cmaf::{MediaConfig, PictureCodec, Sample, Segmentation, TrackConfig, TrackWriter, VideoConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use time::OffsetDateTime;
use tokio::sync::{Barrier, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::Options;
use crate::flame::Flame;
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};

/// Viewers that wait at a time.
const CROWD: usize = 1_000;
/// Promised 99th percentile of their delay, milliseconds.
const CROWD_P99_MAX_MS: f64 = 50.0;
/// How many wait at a time, in the search for the most that get each part within that. A service takes 4,096 connections.
const CROWDS: [usize; 5] = [CROWD, 1_500, 2_000, 3_000, 4_000];
/// How many watch at a time, in the search for the most that have the media of each part before the next one is there.
const AUDIENCES: [usize; 9] = [25, 50, 100, 150, 200, 300, 400, 600, 1_000];
const TIMESCALE: u32 = 90_000;
const PART_MS: u32 = 200;
const PARTS: u64 = 10;
/// Octets of a part: 3 Mbit/s.
const PART_BYTES: usize = 75_000;
/// Between two parts: everybody waits again by then.
const PAUSE: Duration = Duration::from_millis(700);
/// Time for anything that is waited for.
const DEADLINE: Duration = Duration::from_secs(30);
/// A parameter set that says nothing but its profile.
const AVCC: [u8; 17] = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xeb];

/// Makes parts that follow each other.
struct Encoder {
    writer: TrackWriter,
    next_ticks: i64,
}

/// A channel that is being sent to.
struct Channel<'a> {
    flame: &'a Flame,
    playlist: String,
    publication: Publication,
    encoder: Encoder,
    number: u64,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    // Each viewer is a connection, those of a round are closed while the next one begins, and shells often begin with 1,024 files.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).context("raise the limit of open files")?;
    let workshop = options.workshop()?;
    let flame = Flame::up(&workshop.path().join("data")).await?;
    let mut channel = Channel::open(&flame).await?;
    let (mut alone, mut crowd, mut worst) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..=options.rounds {
        let single = channel.segment(1).await?;
        let many = channel.segment(CROWD).await?;
        // The first round opens the connections.
        if round > 0 {
            alone.add(single.percentile(50));
            crowd.add(many.percentile(99));
            worst.add(many.max());
        }
    }
    let (p99_ms, beside_one) = (crowd.max(), crowd.median() / alone.median());
    let resident_mib = flame.server.resident_mib()?;
    let mut carried = 0;
    for viewers in CROWDS {
        // A connection that is refused or breaks is an end of the search, too.
        match channel.segment(viewers).await {
            Ok(delays) if delays.percentile(99) <= CROWD_P99_MAX_MS => carried = viewers,
            Ok(delays) => {
                println!("{viewers} waiting: p99 {:.1} ms", delays.percentile(99));
                break;
            }
            Err(error) => {
                println!("{viewers} waiting: {error:#}");
                break;
            }
        }
    }
    // Anew: where the search ended by an error, the segment that was under way then is in nobody's hands.
    let mut channel = Channel::open(&flame).await?;
    let mut watched = 0;
    for viewers in AUDIENCES {
        match channel.watched(viewers).await {
            Ok(delays) if delays.percentile(99) <= f64::from(PART_MS) => watched = viewers,
            Ok(delays) => {
                println!("{viewers} watching: p99 {:.1} ms", delays.percentile(99));
                break;
            }
            Err(error) => {
                println!("{viewers} watching: {error:#}");
                break;
            }
        }
    }
    flame.server.stop().await?;
    Ok(Section {
        name: "live",
        title: format!("Live: parts of {PART_MS} ms, blocking reloads of their playlist through the router"),
        rows: vec![
            Row { what: "one viewer, p50".to_owned(), unit: "ms", samples: alone },
            Row { what: format!("{CROWD} viewers, p99"), unit: "ms", samples: crowd },
            Row { what: format!("{CROWD} viewers, worst"), unit: "ms", samples: worst },
            Row { what: "resident afterwards".to_owned(), unit: "MiB", samples: [resident_mib].into_iter().collect() },
        ],
        figures: vec![
            Figure {
                what: format!("{CROWD} waiting reloads, p99 (worst round)"),
                value: p99_ms,
                unit: "ms",
                bound: Some(Bound::AtMost(CROWD_P99_MAX_MS)),
            },
            Figure {
                what: format!("{CROWD} viewers' p99 beside one viewer's p50 (medians)"),
                value: beside_one,
                unit: "×",
                bound: None,
            },
            Figure {
                what: format!("viewers at once whose p99 is within {CROWD_P99_MAX_MS} ms"),
                value: f64::from(u32::try_from(carried)?),
                unit: "viewers",
                bound: None,
            },
            Figure {
                what: format!(
                    "viewers of {} Mbit/s at once who have each part before the next one is there (p99)",
                    mbps()
                ),
                value: f64::from(u32::try_from(watched)?),
                unit: "viewers",
                bound: None,
            },
            Figure {
                what: "media that goes out to them".to_owned(),
                value: f64::from(u32::try_from(watched)? * mbps()),
                unit: "Mbit/s",
                bound: None,
            },
        ],
        notes: vec![
            format!(
                "Each round is a segment of {PARTS} parts of {PART_BYTES} bytes for one viewer, and one for {CROWD}, over as many connections."
            ),
            format!("The most viewers are sought among {CROWDS:?}, a segment each, until one takes longer."),
            format!(
                "Those who watch wait for the playlist of each part and then take it, a part every {PART_MS} ms; the most are sought among {AUDIENCES:?}, a segment each."
            ),
            "The viewers run in the process that measures: what they cost is in the delay.".to_owned(),
        ],
        commands: vec!["GET /~streaming/CHANNEL/VERSION/v/index.m3u8?_HLS_msn=N&_HLS_part=P".to_owned()],
    })
}

/// What a viewer takes, Mbit/s.
fn mbps() -> u32 {
    u32::try_from(PART_BYTES).unwrap_or(u32::MAX) / 1_000 * 8 / PART_MS
}

async fn got(http: &reqwest::Client, url: &str) -> Result<reqwest::Response> {
    Ok(http.get(url).send().await?.error_for_status()?)
}

/// Waits for each part of segment `number` and takes it: the delays until its media is here, milliseconds.
async fn take(
    http: reqwest::Client,
    playlist: String,
    number: u64,
    handed: Arc<Mutex<Vec<Instant>>>,
) -> Result<Vec<f64>> {
    let mut delays = Vec::new();
    for part in 0..PARTS {
        let name = format!("{number}.{part}.m4s");
        let text = got(&http, &format!("{playlist}?_HLS_msn={number}&_HLS_part={part}")).await?.text().await?;
        ensure!(text.contains(&name), "a playlist came before its part");
        let octets = got(&http, &playlist.replace("index.m3u8", &name)).await?.bytes().await?;
        ensure!(octets.len() >= PART_BYTES, "{name} has {} bytes", octets.len());
        let at = Instant::now();
        let handed = handed.lock().unwrap_or_else(PoisonError::into_inner).get(delays.len()).copied();
        let handed = handed.context("a part was there before it was sent")?;
        delays.push(at.saturating_duration_since(handed).as_secs_f64() * 1000.0);
    }
    Ok(delays)
}

// === impl Encoder ===

impl Encoder {
    fn new() -> Result<Self> {
        let video = VideoConfig {
            codec: PictureCodec::Avc(AVCC.to_vec()),
            width: 1280,
            height: 720,
            timescale: TIMESCALE,
            colour: None,
            composition_delay_ticks: 0,
        };
        let config = TrackConfig { media: MediaConfig::Video(video), language: None };
        let writer = TrackWriter::new(&config, Segmentation::OnCall)?;
        let next_ticks = OffsetDateTime::now_utc().unix_timestamp() * i64::from(TIMESCALE);
        let mut encoder = Self { writer, next_ticks };
        // What is pushed comes out when the next one is there.
        ensure!(encoder.next()?.is_none());
        Ok(encoder)
    }

    fn next(&mut self) -> Result<Option<Bytes>> {
        let (ticks, duration_ticks) = (self.next_ticks, TIMESCALE * PART_MS / 1000);
        self.next_ticks += i64::from(duration_ticks);
        self.writer.begin_segment();
        let data = vec![7; PART_BYTES].into();
        let sample = Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks, is_sync: true, data };
        Ok(self.writer.push(sample)?.map(|segment| segment.bytes.into()))
    }

    fn part(&mut self) -> Result<Bytes> {
        self.next()?.context("a part comes out for each that goes in")
    }
}

// === impl Channel ===

impl<'a> Channel<'a> {
    /// Makes a channel that plays.
    async fn open(flame: &'a Flame) -> Result<Self> {
        let new = NewChannel {
            id: Uuid::now_v7(),
            title: "bench".to_owned(),
            segment_ms: 2_000,
            part_ms: PART_MS,
            window_s: 60,
            keep_s: None,
            source: None,
            ladder: None,
            encryption: None,
        };
        let made = flame.client.create_channel(&new).await?;
        let mut encoder = Encoder::new()?;
        let track = LiveTrack {
            name: "v".to_owned(),
            kind: TrackKind::Video,
            codec: "avc1.64001f".to_owned(),
            timescale: TIMESCALE,
            part_ticks: TIMESCALE * PART_MS / 1000,
            width: Some(1280),
            height: Some(720),
            frame_rate: None,
            channels: None,
            sample_rate_hz: None,
            language: None,
        };
        let key = made.key.context("the channel was there before")?;
        let publication = flame.client.publish(&NewPublication { key, tracks: vec![track], standby: false }).await?;
        flame.client.put_live_init(publication.id, "v", encoder.writer.init().to_vec().into()).await?;
        let mut first = Vec::new();
        for _ in 0..PARTS {
            first.extend_from_slice(&encoder.part()?);
        }
        flame.client.put_live_segment(publication.id, "v", 0, first.into()).await?;
        let playlist = format!("{}~streaming/{}/{}/v/index.m3u8", flame.router, made.id, made.version);
        Ok(Self { flame, playlist, publication, encoder, number: 1 })
    }

    /// Begins the next segment, whose parts are then sent one by one.
    fn begin(&self) -> (mpsc::Sender<Bytes>, JoinHandle<Result<()>>) {
        let (parts, told) = mpsc::channel::<Bytes>(1);
        let body = reqwest::Body::wrap_stream(futures_util::stream::unfold(told, async |mut told| {
            let part = told.recv().await?;
            Some((Ok::<_, std::io::Error>(part), told))
        }));
        let (client, id, number) = (self.flame.client.clone(), self.publication.id, self.number);
        let sending = tokio::spawn(async move {
            client.put_live_segment(id, "v", number, body).await?;
            Ok(())
        });
        (parts, sending)
    }

    /// Sends a segment at the pace of life to `viewers` that take each of its parts: their delays, milliseconds.
    async fn watched(&mut self, viewers: usize) -> Result<Samples> {
        let (number, (parts, sending)) = (self.number, self.begin());
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?;
        let handed = Arc::new(Mutex::new(Vec::new()));
        let mut crowd = JoinSet::new();
        for _ in 0..viewers {
            crowd.spawn(take(http.clone(), self.playlist.clone(), number, Arc::clone(&handed)));
        }
        tokio::time::sleep(PAUSE).await;
        let mut pace = tokio::time::interval(Duration::from_millis(PART_MS.into()));
        for _ in 0..PARTS {
            pace.tick().await;
            let octets = self.encoder.part()?;
            handed.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            parts.send(octets).await.context("streaming broke the segment off")?;
        }
        drop(parts);
        sending.await??;
        self.number += 1;
        let mut delays = Samples::default();
        while let Some(taken) = crowd.join_next().await {
            taken??.into_iter().for_each(|delay_ms| delays.add(delay_ms));
        }
        Ok(delays)
    }

    /// Sends a segment to `viewers` that wait for each of its parts: their delays, milliseconds.
    async fn segment(&mut self, viewers: usize) -> Result<Samples> {
        let (number, (parts, sending)) = (self.number, self.begin());
        let mut delays = Samples::default();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?;
        for part in 0..PARTS {
            let url = format!("{}?_HLS_msn={number}&_HLS_part={part}", self.playlist);
            let waiting = Arc::new(Barrier::new(viewers + 1));
            let mut crowd = JoinSet::new();
            for _ in 0..viewers {
                let (request, waiting) = (http.get(&url), Arc::clone(&waiting));
                crowd.spawn(async move {
                    waiting.wait().await;
                    let answer = request.send().await?.error_for_status()?;
                    let text = answer.text().await?;
                    anyhow::Ok((Instant::now(), text))
                });
            }
            waiting.wait().await;
            // They are all asked by then; the part is not made sooner than a part takes, as with an encoder.
            tokio::time::sleep(PAUSE).await;
            let octets = self.encoder.part()?;
            let handed = Instant::now();
            parts.send(octets).await.context("streaming broke the segment off")?;
            let name = format!("\"{number}.{part}.m4s\"");
            while let Some(heard) = crowd.join_next().await {
                let (at, text) = heard??;
                ensure!(text.contains(&name), "a playlist came before its part");
                delays.add(at.saturating_duration_since(handed).as_secs_f64() * 1000.0);
            }
        }
        drop(parts);
        sending.await??;
        self.number += 1;
        Ok(delays)
    }
}
