//! The way to streaming where one track of several fails: what the encoder sends goes on.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::live::{Channel, LiveTrack};
use flame_api::media::TrackKind;
use flame_cmaf::{Chunk, ChunkWriter, MediaConfig, Parts, PictureCodec, Sample, TrackConfig, VideoConfig};
use flame_ingest::config::LadderConfig;
use flame_ingest::live::figures::Figures;
use flame_ingest::live::key::StreamKey;
use flame_ingest::live::packager::Track;
use flame_ingest::live::publisher::{Lost, Publisher, Way};
use flame_ingest::live::queue::Bound;
use flame_service_host::config::Span;
use flame_service_host::metrics::Metrics;
use flame_service_host::problem::chain;
use flame_test_kit::eventually;

use crate::stage::Stage;
use crate::world::PATIENCE;

const TIMESCALE: u32 = 90_000;
const NOON_TICKS: i64 = 1_795_694_400 * 90_000;

/// Segments of one picture, a second each.
struct Pictures {
    writer: ChunkWriter,
    next: u64,
}

// === impl Pictures ===

impl Pictures {
    fn new() -> Self {
        let codec =
            PictureCodec::Avc(vec![1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xeb]);
        let video = VideoConfig {
            codec,
            width: 320,
            height: 180,
            timescale: TIMESCALE,
            colour: None,
            composition_delay_ticks: 0,
        };
        let config = TrackConfig { media: MediaConfig::Video(video), language: None };
        let writer = ChunkWriter::new(&config, Parts::of(1_000, TIMESCALE, Some(TIMESCALE))).unwrap();
        Self { writer, next: 0 }
    }

    fn track(&self, name: &'static str) -> Track {
        let live = LiveTrack {
            name: name.to_owned(),
            kind: TrackKind::Video,
            codec: self.writer.codec().to_owned(),
            timescale: TIMESCALE,
            part_ticks: TIMESCALE,
            width: Some(320),
            height: Some(180),
            frame_rate: None,
            channels: None,
            sample_rate_hz: None,
            language: None,
        };
        Track { name: Cow::Borrowed(name), live, init: self.writer.init().clone() }
    }

    /// The next one.
    fn chunk(&mut self) -> Chunk {
        let ticks = NOON_TICKS + i64::try_from(self.next).unwrap() * i64::from(TIMESCALE);
        let data = vec![7; 100].into();
        let sample = Sample { dts_ticks: ticks, pts_ticks: ticks, duration_ticks: TIMESCALE, is_sync: true, data };
        let chunks = self.writer.push_timed(sample, self.next).unwrap();
        self.next += 1;
        let [chunk] = <[Chunk; 1]>::try_from(chunks).expect("a picture is a part");
        Chunk { ends_segment: true, ..chunk }
    }
}

fn way(stage: &Stage, patience: Duration) -> Way {
    Way {
        client: stage.client.clone(),
        bound: Bound { bytes: 1 << 20, segments: 8 },
        patience,
        answer_timeout: Duration::from_secs(5),
        ladder: LadderConfig::default(),
        figures: Figures::new(&Metrics::new("ingest")),
    }
}

fn key(channel: &Channel) -> StreamKey {
    StreamKey::new(channel.key.clone().expect("it is made only now"))
}

/// The newest whole segment that viewers see.
async fn seen(stage: &Stage, channel: &Channel) -> Result<u64, String> {
    let url = stage.client.url("streaming", &format!("{}/{}/v/index.m3u8", channel.id, channel.version));
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let numbers = text.lines().filter_map(|line| line.strip_suffix(".m4s")?.parse().ok());
    numbers.max().ok_or(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rendition_that_streaming_refuses_ends_nothing_else() {
    let stage = Stage::start(|_| {}).await;
    let channel = stage.channel().await;
    let mut pictures = Pictures::new();
    let (tracks, renditions) = (vec![pictures.track("v")], vec![pictures.track("v144")]);
    let begun = Publisher::begin(way(&stage, PATIENCE), &key(&channel), tracks, renditions).await.unwrap();
    let (mut publisher, None) = begun else { panic!("its renditions were refused at once") };
    let chunk = pictures.chunk();
    publisher.push("v", &chunk, Instant::now());
    publisher.push("v144", &Chunk { bytes: Bytes::from_static(b"no box of anything"), ..chunk }, Instant::now());
    let lost = tokio::time::timeout(PATIENCE, publisher.lost()).await.expect("the rendition is refused");
    let Lost::Rendition { track, source } = lost else { panic!("{lost:?}") };
    assert!(track == "v144" && matches!(*source, Lost::Refused(_)), "{track}: {source:?}");
    for number in 1..4 {
        publisher.push("v", &pictures.chunk(), Instant::now());
        let seen = eventually(PATIENCE, || async {
            let seen = if number < 3 { Ok(number) } else { seen(&stage, &channel).await };
            seen.and_then(|seen| if seen >= number { Ok(seen) } else { Err(format!("{seen}")) })
        });
        tokio::select! {
            lost = publisher.lost() => panic!("{lost:?}"),
            seen = seen => assert_eq!(seen, number),
        }
    }
    publisher.finish(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_of_which_nothing_comes_for_longer_than_patience_ends_nothing_else() {
    let silence = Duration::from_millis(300);
    let mut stage = Stage::start(|_| {}).await;
    stage.stop_streaming().await;
    stage.change_streaming(|config| config.live.silence = Span(silence));
    stage.start_streaming().await;
    let channel = stage.channel().await;
    let mut pictures = Pictures::new();
    let tracks = vec![pictures.track("v"), pictures.track("w")];
    let begun = Publisher::begin(way(&stage, silence), &key(&channel), tracks, Vec::new()).await;
    let (mut publisher, _) = begun.unwrap();
    let chunk = pictures.chunk();
    publisher.push("v", &chunk, Instant::now());
    // Its end does not come.
    publisher.push("w", &Chunk { ends_segment: false, ..chunk }, Instant::now());
    let lane = publisher.lane("v").expect("it is published");
    let began = Instant::now();
    let goes_on = eventually(PATIENCE, || {
        lane.push(&pictures.chunk(), Instant::now());
        let elapsed = began.elapsed();
        async move { if elapsed > 8 * silence { Ok(()) } else { Err(format!("{elapsed:?}")) } }
    });
    tokio::select! {
        lost = publisher.lost() => panic!("{lost:?}"),
        () = goes_on => {}
    }
    let last = pictures.next - 1;
    eventually(PATIENCE, || async {
        let seen = seen(&stage, &channel).await?;
        if seen + 8 > last { Ok(()) } else { Err(format!("{seen} of {last}")) }
    })
    .await;
    publisher.give_up().await;
}

/// Streaming refuses the publication, or an init segment of it, because of its renditions: the publication begins without them. Where the
/// encoder's own tracks are the reason, it does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_whose_renditions_are_refused_begins_without_them() {
    let stage = Stage::start(|_| {}).await;
    let channel = stage.channel().await;
    let mut pictures = Pictures::new();
    let begin = async |tracks: Vec<Track>, renditions: Vec<Track>| {
        Publisher::begin(way(&stage, PATIENCE), &key(&channel), tracks, renditions).await
    };
    let good = pictures.track("v");
    let unnamed = Track { live: LiveTrack { name: "V 144".to_owned(), ..good.live.clone() }, ..good.clone() };
    let broken = Track { init: Bytes::from_static(b"no box of anything"), ..pictures.track("v144") };
    for (rendition, said) in [(unnamed.clone(), "V 144"), (broken, "cannot be taken")] {
        let (publisher, refused) = begin(vec![good.clone()], vec![rendition]).await.unwrap();
        let refused = chain(&refused.expect("the rendition is refused"));
        assert!(refused.contains("renditions") && refused.contains(said), "{refused}");
        assert!(publisher.lane("v").is_some() && publisher.lane("v144").is_none());
        let next = publisher.publication().first_number;
        let chunk = pictures.chunk();
        publisher.push("v", &chunk, Instant::now());
        publisher.finish(PATIENCE).await;
        let seen = eventually(PATIENCE, || seen(&stage, &channel)).await;
        assert_eq!(seen, next + chunk.number);
    }
    let refused = begin(vec![unnamed], vec![good]).await.map(drop);
    assert!(refused.is_err_and(|error| chain(&error).contains("V 144")));
}
