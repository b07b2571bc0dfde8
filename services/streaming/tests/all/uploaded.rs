//! An ordinary MP4, played before anything is made of it; and everything that is made of a segment on request.
//!
//! What comes out is compared with the file packet by packet, by FFmpeg's own demuxers.

use std::path::Path;
use std::process::Command;

use flame_api::metadata::{NewAsset, Source};
use flame_test_kit::{Scratch, clips, eventually};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::world::{DEADLINE, VERSION, World, probe, problem, stored};

pub const CONTAINER: &str = "mov,mp4,m4a,3gp,3g2,mj2";

/// A packet: its bytes' digest, and when it is shown in milliseconds.
type Packet = (String, i64);

/// An asset in the catalogue whose file is in the store, and nothing else.
pub async fn upload(world: &World, file: &[u8], container: &str) -> Uuid {
    let id = Uuid::new_v4();
    register(world, id, file, container).await;
    id
}

async fn register(world: &World, id: Uuid, file: &[u8], container: &str) {
    claim(world, id, file, (container, file)).await;
}

/// The catalogue is told the digest of another file, perhaps.
pub async fn claim(world: &World, id: Uuid, file: &[u8], (container, claimed): (&str, &[u8])) {
    let key = format!("default/sources/{id}");
    world.store.put(&key, file.to_vec().into(), "video/mp4").await.unwrap();
    let sha256 = hex::encode(Sha256::digest(claimed));
    let source = Source { key, file_name: None, size_bytes: file.len() as u64, sha256 };
    let mut probe = probe();
    container.clone_into(&mut probe.container);
    let asset = NewAsset { id, title: "As it is".to_owned(), source, probe, poster_key: None };
    world.catalogue.create_asset(&asset).await.unwrap();
}

/// A clip of 9 s with B-frames, a keyframe each second, and sound.
pub fn clip(scratch: &Scratch, name: &str, more: &[&str]) -> std::path::PathBuf {
    let path = scratch.join(name);
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=9"]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=9"]);
    ffmpeg
        .args(["-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
    let done = ffmpeg.args(more).arg(&path).status().unwrap();
    assert!(done.success());
    path
}

/// The packets of one stream, as FFmpeg reads them.
fn packets(input: impl AsRef<std::ffi::OsStr>, stream: &str) -> Vec<Packet> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", stream, "-show_packets", "-show_data_hash", "md5", "-of", "json"]);
    let output = ffprobe.arg(input.as_ref()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packet = |packet: &Value| {
        let pts: f64 = packet["pts_time"].as_str().unwrap().parse().unwrap();
        (packet["data_hash"].as_str().unwrap().to_owned(), (pts * 1000.0).round() as i64)
    };
    shown["packets"].as_array().unwrap().iter().map(packet).collect()
}

/// The URIs in a playlist.
fn uris(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// The folder of the first track in the asset's playlist whose name begins with `letter`.
pub async fn track(world: &World, asset: Uuid, letter: char) -> String {
    let text = world.get(&format!("{asset}/index.m3u8")).await.text().await.unwrap();
    let folders = text.split(['"', '\n']).filter_map(|part| part.strip_suffix("/index.m3u8"));
    let folder =
        folders.into_iter().find(|folder| folder.split('/').nth(1).is_some_and(|name| name.starts_with(letter)));
    format!("{asset}/{}", folder.unwrap_or_else(|| panic!("no {letter} in {text}")))
}

/// Everything below `folder`, one after the other, in a file.
async fn concatenated(world: &World, folder: &str, playlist: &str, init: &[&str], to: &Path) {
    let text = world.get(&format!("{folder}/{playlist}")).await.text().await.unwrap();
    let mut bytes = Vec::new();
    for name in init.iter().map(|name| (*name).to_owned()).chain(uris(&text)) {
        let answer = world.get(&format!("{folder}/{name}")).await;
        assert_eq!(answer.status(), 200, "{folder}/{name}");
        bytes.extend_from_slice(&answer.bytes().await.unwrap());
    }
    std::fs::write(to, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_movie_plays_as_it_is_with_every_packet_at_its_time() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    // With its tables at its end, and in front; and with pictures in front of a keyframe that need the group before.
    let open = ["-x264-params", "open-gop=1:keyint=25:bframes=3"];
    for (name, more) in
        [("plain.mp4", &[][..]), ("front.mp4", &["-movflags", "+faststart"]), ("quick.mov", &[]), ("open.mp4", &open)]
    {
        let path = clip(&scratch, name, more);
        let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
        for (letter, stream) in [('v', "v:0"), ('a', "a:0")] {
            let folder = track(&world, asset, letter).await;
            let out = scratch.join("out.mp4");
            concatenated(&world, &folder, "index.m3u8", &["init.mp4"], &out).await;
            let expected = packets(&path, stream);
            assert!(expected.len() > 200);
            assert_eq!(packets(&out, stream), expected, "{name} {stream}");
        }
        // And as players of FFmpeg's kind find it.
        for manifest in ["index.m3u8", "manifest.mpd"] {
            let url = world.url(&format!("{asset}/{manifest}"));
            let digests = |packets: Vec<Packet>| packets.into_iter().map(|(digest, _)| digest).collect::<Vec<_>>();
            assert_eq!(digests(packets(&url, "v:0")), digests(packets(&path, "v:0")), "{manifest} of {name}");
        }
    }
    world.stop().await;
}

/// A picture that stands for an hour: few samples, and times far apart.
#[tokio::test(flavor = "multi_thread")]
async fn times_that_are_far_apart_make_one_long_segment_and_no_more_of_them() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let later = "setpts='(N+if(gte(N,100),90000,0))/(25*TB)'";
    let path = clip(&scratch, "sparse.mp4", &["-vf", later, "-fps_mode", "passthrough"]);
    let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
    let folder = track(&world, asset, 'v').await;
    let out = scratch.join("out.mp4");
    concatenated(&world, &folder, "index.m3u8", &["init.mp4"], &out).await;
    let expected = packets(&path, "v:0");
    assert!(expected.last().unwrap().1 > 3_600_000, "{expected:?}");
    assert_eq!(packets(&out, "v:0"), expected);
    let listed = world.get(&format!("{folder}/index.m3u8")).await.text().await.unwrap();
    let length_s = |line: &str| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok();
    let lengths_s: Vec<f64> = listed.lines().filter_map(length_s).collect();
    let long = lengths_s.iter().filter(|length_s| **length_s > 3_500.0).count();
    assert!(long == 1 && lengths_s.len() < 10, "{listed}");
    // A transport stream has a clock in it, which nothing but more and more packets keeps running: not over the gap, where the first
    // picture behind it is decoded long before it is shown.
    let mut refused = 0;
    for number in 0..lengths_s.len() {
        let answer = world.get(&format!("{folder}/{number}.ts")).await;
        if answer.status() == 422 {
            let text = answer.text().await.unwrap();
            assert!(text.contains("the segment lasts longer than"), "{text}");
            refused += 1;
        } else {
            assert_eq!(answer.status(), 200, "{number}");
            assert_eq!(answer.bytes().await.unwrap()[0], 0x47, "{number}");
        }
    }
    assert_eq!(refused, 1, "{listed}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_of_a_movie_have_tags_and_ranges() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let file = std::fs::read(clip(&scratch, "plain.mp4", &[])).unwrap();
    let asset = upload(&world, &file, CONTAINER).await;
    let segment = format!("{}/1.m4s", track(&world, asset, 'v').await);
    let whole = world.get(&segment).await;
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(whole.headers()["cache-control"], "public, max-age=31536000, immutable");
    let whole = whole.bytes().await.unwrap();
    for (range, expected) in
        [("bytes=0-9", 0..10), ("bytes=100-5000", 100..5001), ("bytes=-70", whole.len() - 70..whole.len())]
    {
        let part = world.ask(reqwest::Method::GET, &segment, &[("range", range), ("if-range", &tag)]).await;
        assert_eq!((part.status().as_u16(), part.headers()["etag"].to_str().unwrap()), (206, tag.as_str()), "{range}");
        assert_eq!(part.bytes().await.unwrap(), whole[expected], "{range}");
    }
    assert_eq!(world.ask(reqwest::Method::GET, &segment, &[("if-none-match", &tag)]).await.status(), 304);
    let head = world.ask(reqwest::Method::HEAD, &segment, &[]).await;
    assert_eq!(head.headers()["content-length"], whole.len().to_string().as_str());
    // Other bytes have other tags, and the same upload has the same names everywhere.
    assert_ne!(world.get(&segment.replace("1.m4s", "0.m4s")).await.headers()["etag"], tag.as_str());
    let twin = upload(&world, &file, CONTAINER).await;
    let twin = world.get(&segment.replace(&asset.to_string(), &twin.to_string())).await;
    assert_eq!(twin.headers()["etag"], tag.as_str());
    for missing in ["9.m4s", "i9.m4s", "init-1.mp4", "0.0.m4s", "9.ts"] {
        assert_eq!(world.get(&segment.replace("1.m4s", missing)).await.status(), 404, "{missing}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transport_streams_carry_the_same_pictures_and_sound() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let path = clip(&scratch, "plain.mp4", &[]);
    let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
    let text = world.get(&format!("{asset}/ts.m3u8")).await.text().await.unwrap();
    assert!(text.contains("/ts.m3u8") && !text.contains("index.m3u8") && !text.contains("I-FRAME"), "{text}");
    for (letter, stream) in [('v', "v:0"), ('a', "a:0")] {
        let folder = track(&world, asset, letter).await;
        let out = scratch.join("out.ts");
        concatenated(&world, &folder, "ts.m3u8", &[], &out).await;
        let times = |packets: Vec<Packet>| packets.into_iter().map(|(_, ms)| ms).collect::<Vec<_>>();
        let moved: Vec<i64> = times(packets(&path, stream)).into_iter().map(|ms| ms + 10_000).collect();
        let found = times(packets(&out, stream));
        assert_eq!(found.len(), moved.len());
        assert!(found.iter().zip(&moved).all(|(found, moved)| (found - moved).abs() <= 1), "{found:?}\n{moved:?}");
        let decoded = |input: &Path| {
            let mut ffmpeg = Command::new("ffmpeg");
            ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(input).args(["-map", &format!("0:{stream}")]);
            let output = ffmpeg.args(["-fps_mode", "passthrough", "-f", "streamhash", "-"]).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        if stream == "v:0" {
            assert_eq!(decoded(&out), decoded(&path));
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn iframes_are_the_keyframes_and_nothing_else() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let path = clip(&scratch, "plain.mp4", &[]);
    let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
    let multivariant = world.get(&format!("{asset}/index.m3u8")).await.text().await.unwrap();
    assert!(multivariant.contains("#EXT-X-I-FRAME-STREAM-INF:"), "{multivariant}");
    let folder = track(&world, asset, 'v').await;
    let text = world.get(&format!("{folder}/iframes.m3u8")).await.text().await.unwrap();
    assert_eq!((uris(&text).len(), text.matches("#EXTINF:1,").count()), (9, 9), "{text}");
    let out = scratch.join("out.mp4");
    concatenated(&world, &folder, "iframes.m3u8", &["init.mp4"], &out).await;
    let all = packets(&path, "v:0");
    let keyframes: Vec<Packet> =
        (0..9).map(|second| all.iter().find(|(_, ms)| *ms == second * 1000).unwrap().clone()).collect();
    assert_eq!(packets(&out, "v:0"), keyframes);
    let sound = track(&world, asset, 'a').await;
    assert_eq!(world.get(&format!("{sound}/iframes.m3u8")).await.status(), 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_ends_on_the_last_sample_before_its_end() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let path = clip(&scratch, "plain.mp4", &["-bf", "0"]);
    let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
    let query = "from=4.5s&to=6.2s";
    let multivariant = world.get(&format!("{asset}/index.m3u8?{query}")).await.text().await.unwrap();
    assert!(multivariant.contains("index.m3u8?from=4.500s&to=6.200s"), "{multivariant}");
    let folder = track(&world, asset, 'v').await;
    for (playlist, init) in [("index.m3u8", &["init.mp4"][..]), ("ts.m3u8", &[])] {
        let text = world.get(&format!("{folder}/{playlist}?{query}")).await.text().await.unwrap();
        assert!(text.contains("#EXT-X-START:TIME-OFFSET=0.5,PRECISE=YES\n"), "{text}");
        assert!(text.contains("#EXTINF:2.2,\n"), "{text}");
        let out = scratch.join("out");
        concatenated(&world, &folder, &format!("{playlist}?{query}"), init, &out).await;
        let shown: Vec<i64> = packets(&out, "v:0").into_iter().map(|(_, ms)| ms % 10_000).collect();
        assert_eq!((shown.first(), shown.last(), shown.len()), (Some(&4000), Some(&6160), 55), "{playlist}");
    }
    for (query, status) in [("from=9:00", 400), ("from=x", 400), ("from=5&to=5", 400), ("from=0", 200)] {
        assert_eq!(world.get(&format!("{folder}/index.m3u8?{query}")).await.status(), status, "{query}");
    }
    let (_, detail) = problem(world.get(&format!("{asset}/index.m3u8?to=1:60")).await).await;
    assert!(detail.contains("is no time"), "{detail}");
    world.stop().await;
}

/// The clip with two sounds more: English with a title, which is the default, and a commentary that begins 300 ms late.
fn three_sounds(scratch: &Scratch) -> std::path::PathBuf {
    let one = clip(scratch, "one.mp4", &["-metadata:s:a:0", "language=deu"]);
    let path = scratch.join("three.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(&one);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=880:sample_rate=48000:duration=9", "-itsoffset", "0.3"]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=1320:sample_rate=48000:duration=8"]);
    ffmpeg.args([
        "-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a:0", "copy", "-c:a", "aac",
    ]);
    ffmpeg.args([
        "-metadata:s:a:1",
        "language=eng",
        "-metadata:s:a:1",
        "title=Stage",
        "-metadata:s:a:2",
        "language=eng",
    ]);
    ffmpeg.args(["-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:a:2", "comment"]);
    assert!(ffmpeg.arg(&path).status().unwrap().success());
    path
}

/// Language, name, whether it is the default, and folder of each sound, as a reader of HLS finds them.
fn offered(text: &str) -> Vec<(Option<String>, String, bool, String)> {
    let playlist = hls_m3u8::MasterPlaylist::try_from(text).unwrap();
    let media = playlist.media.iter().map(|media| {
        let language = media.language().map(|language| language.to_string());
        let folder = media.uri().unwrap().split('/').nth(1).unwrap().to_owned();
        (language, media.name().to_string(), media.is_default, folder)
    });
    media.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sound_of_a_movie_is_offered_with_its_language_role_and_title() {
    let world = World::start_with(|config| config.catalogue.fresh = "0ms".parse().unwrap()).await;
    let scratch = Scratch::new("uploaded");
    let path = three_sounds(&scratch);
    let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
    let url = format!("{asset}/index.m3u8");
    let sound = |language: &str, name: &str, is_default, folder: &str| {
        (Some(language.to_owned()), name.to_owned(), is_default, folder.to_owned())
    };
    let expected = [
        sound("eng", "Stage", true, "a3"),
        sound("deu", "deu", false, "a2"),
        sound("eng", "eng (commentary)", false, "a4"),
    ];
    assert_eq!(offered(&world.get(&url).await.text().await.unwrap()), expected);
    assert_eq!(offered(&world.get(&format!("{asset}/ts.m3u8")).await.text().await.unwrap()), expected);
    assert_eq!(offered(&world.get(&format!("{url}?from=2s&to=5s")).await.text().await.unwrap()).len(), 3);
    let mpd = world.get(&format!("{asset}/manifest.mpd")).await.text().await.unwrap();
    assert_eq!(mpd.matches("contentType=\"audio\"").count(), 3, "{mpd}");
    assert_eq!(
        (mpd.matches("value=\"commentary\"").count(), mpd.matches("selectionPriority").count()),
        (1, 1),
        "{mpd}"
    );

    // Every packet is at its time, also of the sound that begins late.
    let version = world.get(&url).await.text().await.unwrap();
    let version = version.split("URI=\"").nth(1).unwrap().split('/').next().unwrap().to_owned();
    for (track, stream) in [("a2", "a:0"), ("a3", "a:1"), ("a4", "a:2")] {
        let out = scratch.join("out.mp4");
        concatenated(&world, &format!("{asset}/{version}/{track}"), "index.m3u8", &["init.mp4"], &out).await;
        assert_eq!(packets(&out, "a:0"), packets(&path, stream), "{track}");
    }

    // What somebody says of them counts more, and the programme as it is meant comes first.
    let labels = serde_json::json!({ "sound_labels": [
        { "sound": 1, "role": "dub" }, { "sound": 2, "language": "fr", "role": "description", "title": "AD" },
    ]});
    let patch: flame_api::metadata::AssetPatch = serde_json::from_value(labels).unwrap();
    let revision = world.catalogue.asset(asset).await.unwrap().unwrap().revision;
    world.catalogue.patch_asset(asset, revision, &patch).await.unwrap();
    let text = world.get(&url).await.text().await.unwrap();
    let expected =
        [sound("deu", "deu", true, "a2"), sound("eng", "Stage", false, "a3"), sound("fr", "AD", false, "a4")];
    assert_eq!(offered(&text), expected);
    assert!(text.contains("CHARACTERISTICS=\"public.accessibility.describes-video\""), "{text}");
    let mpd = world.get(&format!("{asset}/manifest.mpd")).await.text().await.unwrap();
    for part in ["value=\"dub\"", "value=\"description\"", "<Label>AD</Label>", "AudioPurposeCS:2007\" value=\"1\""] {
        assert!(mpd.contains(part), "{part} in {mpd}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_plays_on_when_something_better_is_there() {
    let world = World::start_with(|config| config.catalogue.fresh = "0ms".parse().unwrap()).await;
    let scratch = Scratch::new("uploaded");
    let asset = upload(&world, &std::fs::read(clip(&scratch, "plain.mp4", &[])).unwrap(), CONTAINER).await;
    let folder = track(&world, asset, 'v').await;
    let better = stored("v", &[5000]);
    world.put(asset, "v", better.object.clone(), better.finished.index.to_json()).await;
    world.publish(asset, vec![better.track.clone()]).await;
    let text = world.get(&format!("{asset}/index.m3u8")).await.text().await.unwrap();
    assert!(text.contains(&format!("{VERSION}/v/index.m3u8")) && !text.contains(&folder), "{text}");
    assert_eq!(world.get(&format!("{folder}/1.m4s")).await.status(), 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_there_a_moment_ago_plays_soon_and_goes_on_when_its_conditioning_fails() {
    // What is known of an asset holds for an hour, but not that there is none.
    let world = World::start_with(|config| config.catalogue.fresh = "1h".parse().unwrap()).await;
    let scratch = Scratch::new("uploaded");
    let file = std::fs::read(clip(&scratch, "plain.mp4", &[])).unwrap();
    let id = Uuid::new_v4();
    let playlist = format!("{id}/index.m3u8");
    assert_eq!(problem(world.get(&playlist).await).await.0, "not-found");
    register(&world, id, &file, CONTAINER).await;
    let failure = flame_api::metadata::Failure { reason: "no encoder".to_owned() };
    world.catalogue.fail_asset(id, &failure).await.unwrap();
    eventually(DEADLINE, || async {
        let status = world.get(&playlist).await.status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_play_as_it_is_waits_for_its_conditioning() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let whole = std::fs::read(clip(&scratch, "plain.mp4", &[])).unwrap();
    let fragmented = std::fs::read(clip(&scratch, "parts.mp4", &["-movflags", "+frag_keyframe+empty_moov"])).unwrap();
    let matroska = std::fs::read(clip(&scratch, "other.mkv", &[])).unwrap();
    let moov = whole.windows(4).position(|bytes| bytes == b"moov").unwrap();
    let mut broken = whole.clone();
    broken[moov + 4..moov + 400].fill(0xff);
    for (what, file, container) in [
        ("in fragments", &fragmented[..], CONTAINER),
        ("Matroska", &matroska[..], "matroska,webm"),
        ("called a movie", &matroska[..], CONTAINER),
        ("cut off", &whole[..moov + 100], CONTAINER),
        ("damaged", &broken[..], CONTAINER),
        ("nothing", b"", CONTAINER),
    ] {
        let asset = upload(&world, file, container).await;
        let answer = world.get(&format!("{asset}/index.m3u8")).await;
        assert_eq!(answer.status(), 404, "{what}");
        assert_eq!(problem(answer).await.0, "not-ready", "{what}");
        assert_eq!(world.get(&format!("{asset}/manifest.mpd")).await.status(), 404, "{what}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_footage_plays_as_it_is() {
    let world = World::start().await;
    let path = clips::path("bigbuckbunny");
    let asset = upload(&world, &std::fs::read(&path).unwrap(), CONTAINER).await;
    for stream in ["v:0", "a:0"] {
        let digests = |packets: Vec<Packet>| packets.into_iter().map(|(digest, _)| digest).collect::<Vec<_>>();
        let url = world.url(&format!("{asset}/index.m3u8"));
        assert_eq!(digests(packets(&url, stream)), digests(packets(&path, stream)), "{stream}");
    }
    world.stop().await;
}

/// A movie with one more box at the end of its first sample entry, `hvc1`; `moov` has to be the last box of the file.
fn with_box(movie: &[u8], kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    let more = [&size.to_be_bytes()[..], kind, body].concat();
    let mut made = movie.to_vec();
    let mut at = movie.windows(4).rposition(|name| name == b"moov").expect("it has one");
    let mut end = 0;
    for name in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"] {
        at += movie[at..].windows(4).position(|found| found == name).unwrap_or_else(|| panic!("no {name:?}"));
        let length = u32::from_be_bytes(movie[at - 4..at].try_into().unwrap());
        end = at - 4 + length as usize;
        made[at - 4..at].copy_from_slice(&(length + size).to_be_bytes());
    }
    made.splice(end..end, more);
    made
}

#[tokio::test]
async fn what_pictures_are_besides_is_said_and_goes_out_with_them() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let colour = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"];
    let more =
        [&["-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1", "-t", "2"][..], &colour].concat();
    let plain = std::fs::read(clip(&scratch, "plain.mp4", &more)).unwrap();
    // Profile 8.1, level 6.
    let config = [&[1, 0, 8 << 1, 6 << 3 | 0b101, 1 << 4][..], &[0; 19]].concat();
    // 8.4 lies on HLG, which this is not.
    let other = [&[1, 0, 8 << 1, 6 << 3 | 0b101, 4 << 4][..], &[0; 19]].concat();
    let with = |config: &[u8]| with_box(&plain, b"dvvC", config);
    for (file, config, said) in [
        (plain.clone(), None, None),
        (with(&config), Some(&config), Some("dvh1.08.06/db1p")),
        (with(&other), Some(&other), None),
    ] {
        let asset = upload(&world, &file, CONTAINER).await;
        let text = eventually(DEADLINE, || async {
            let text = world.get(&format!("{asset}/index.m3u8")).await.text().await.unwrap();
            if text.contains("#EXT-X-STREAM-INF") { Ok(text) } else { Err(text) }
        })
        .await;
        assert!(text.contains("VIDEO-RANGE=PQ"), "{text}");
        let attribute = said.map(|said| format!("SUPPLEMENTAL-CODECS=\"{said}\""));
        assert_eq!(text.matches("SUPPLEMENTAL-CODECS").count(), attribute.iter().len(), "{text}");
        assert!(attribute.is_none_or(|attribute| text.contains(&attribute)), "{text}");
        let as_ts = world.get(&format!("{asset}/ts.m3u8")).await.text().await.unwrap();
        assert!(as_ts.contains("#EXT-X-STREAM-INF") && !as_ts.contains("SUPPLEMENTAL-CODECS"), "{as_ts}");
        let folder = track(&world, asset, 'v').await;
        let init = world.get(&format!("{folder}/init.mp4")).await.bytes().await.unwrap();
        let boxed = config.map(|config| [&b"dvvC"[..], config].concat());
        let goes_out = init.windows(28).any(|at| boxed.as_ref().is_some_and(|boxed| at == boxed));
        assert_eq!(goes_out, config.is_some());
    }
    world.stop().await;
}
