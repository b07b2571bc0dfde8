//! All variants of a channel have the same segments and the same parts at the same times, and so do their playlists: a player that
//! changes from one to another goes on where it was.

use std::process::{Command, Stdio};

use flame_api::live::Channel;
use flame_cmaf::samples::{self, InitInfo};

use crate::ladder::Climb;
use crate::stage::Encoder;

/// The source, and what is made of it.
const VARIANTS: [&str; 3] = ["v", "v240", "v144"];
/// Segments that must be whole of each.
const SEGMENTS: u64 = 3;

/// A segment, as a playlist lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Cut {
    uri: String,
    /// `EXT-X-PROGRAM-DATE-TIME`.
    date: String,
    /// `EXTINF`.
    duration: String,
    /// URI and `DURATION` of its parts.
    parts: Vec<(String, String)>,
}

/// What the octets of a segment or part say, ticks: when its first picture is decoded and its last one ends, and when the first one is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    decoded: u64,
    end: u64,
    shown: i64,
}

/// Publishes pictures that are decoded in another order than they are shown, and sound, for ever and without a hole.
fn publish(climb: &Climb, channel: &Channel) -> Encoder {
    let url =
        format!("rtmp://{}/live/{}", climb.stage.world.rtmp_address(), channel.key.as_deref().expect("it is new"));
    let child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25"])
        .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p", "-g", "25"])
        .args(["-x264-params", "scenecut=0:open-gop=0", "-c:a", "aac", "-f", "flv", &url])
        .stdin(Stdio::null())
        .spawn()
        .expect("ffmpeg starts");
    Encoder(child)
}

/// The whole segments of a playlist, oldest first.
fn cuts(playlist: &str) -> Vec<Cut> {
    let (mut cuts, mut cut) = (Vec::new(), Cut::default());
    for line in playlist.lines() {
        if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
            date.clone_into(&mut cut.date);
        } else if let Some(duration) = line.strip_prefix("#EXTINF:") {
            duration.clone_into(&mut cut.duration);
        } else if let Some(part) = line.strip_prefix("#EXT-X-PART:DURATION=") {
            let (duration, rest) = part.split_once(",URI=\"").expect("a part has a URI behind its duration");
            let uri = rest.split('"').next().expect("something stands before the quote");
            cut.parts.push((uri.to_owned(), duration.to_owned()));
        } else if !line.starts_with('#') && !line.is_empty() {
            line.clone_into(&mut cut.uri);
            cuts.push(std::mem::take(&mut cut));
        }
    }
    cuts
}

async fn span(climb: &Climb, channel: &Channel, track: &str, uri: &str) -> Span {
    let init = InitInfo::parse(&climb.bytes(channel, &format!("{track}/init.mp4")).await).expect("an init segment");
    let segment = climb.bytes(channel, &format!("{track}/{uri}")).await;
    let refs = samples::samples(&segment, &init).expect("a segment");
    let (first, last) = (refs.first().expect("it has samples"), refs.last().expect("it has samples"));
    Span {
        decoded: first.decode_ticks,
        end: last.decode_ticks + u64::from(last.duration_ticks),
        shown: refs.iter().map(|sample| init.presented_ticks(sample)).min().expect("it has samples"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_and_parts_of_all_variants_begin_and_end_at_the_same_times() {
    let climb = Climb::start(1).await;
    let channel = climb.channel(&[240, 144]).await;
    let _encoder = publish(&climb, &channel);
    climb.offered(&channel, VARIANTS.len()).await;
    for track in VARIANTS {
        climb.past(&channel, track, SEGMENTS).await;
    }
    let mut listed = Vec::new();
    for track in VARIANTS {
        listed.push(cuts(&climb.text(&channel, track).await));
    }
    // The rest follows while it is looked at.
    let shared = listed.iter().map(Vec::len).min().expect("there are variants");
    for (track, cuts) in VARIANTS.iter().zip(&listed) {
        for (cut, of_source) in cuts[..shared].iter().zip(&listed[0]) {
            let segment = |cut: &Cut| (cut.uri.clone(), cut.date.clone(), cut.duration.clone());
            assert_eq!(segment(cut), segment(of_source), "{track}");
            // Those of older segments are listed no more, and who is ahead has left out more of them.
            if !cut.parts.is_empty() && !of_source.parts.is_empty() {
                assert_eq!(cut.parts, of_source.parts, "{track}");
            }
        }
    }
    let with_parts: Vec<&Cut> = listed[0][..shared].iter().filter(|cut| !cut.parts.is_empty()).collect();
    assert!(!with_parts.is_empty(), "{:?}", listed[0]);
    let mut reordered = false;
    for cut in with_parts {
        for uri in std::iter::once(&cut.uri).chain(cut.parts.iter().map(|(uri, _)| uri)) {
            let of_source = span(&climb, &channel, "v", uri).await;
            // Of a segment the first picture is known; where parts begin pictures of the source are shown in another order.
            reordered |= of_source.shown != i64::try_from(of_source.decoded).expect("a time");
            for track in &VARIANTS[1..] {
                let of_rung = span(&climb, &channel, track, uri).await;
                assert_eq!((of_rung.decoded, of_rung.end), (of_source.decoded, of_source.end), "{track}/{uri}");
                if *uri == cut.uri {
                    assert_eq!(of_rung.shown, of_source.shown, "{track}/{uri}");
                }
            }
        }
    }
    assert!(reordered, "the source has no pictures in another order");
}
