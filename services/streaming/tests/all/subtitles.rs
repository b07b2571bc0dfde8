//! Subtitles of an asset: in HLS cut like the pictures, in DASH as a file, in clips, beside transport streams, and beside what plays
//! as it was uploaded.

use std::process::Command;

use axum::http::Method;
use flame_api::subtitles::{NewSubtitle, SubtitleRole};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::uploaded::{CONTAINER, clip, track, upload};
use crate::world::{VERSION, World, problem, stored};

/// Over the border at 4 s; in the third segment.
const TEXT: &str = "WEBVTT Language: de\n\n00:00:03.000 --> 00:00:05.500 line:0\nGuten <i>Tag</i>\n\n\
                    00:00:09.000 --> 00:00:09.500\nund gute Nacht\n";

async fn start() -> World {
    // What the catalogue says counts at once.
    World::start_with(|config| {
        config.catalogue.fresh = "0ms".parse().unwrap();
        config.catalogue.media_fresh = "0ms".parse().unwrap();
    })
    .await
}

fn new(asset: Uuid, name: &str) -> NewSubtitle {
    NewSubtitle {
        language: "de".to_owned(),
        role: SubtitleRole::Caption,
        title: Some("Deutsch".to_owned()),
        default: false,
        key: format!("default/subtitles/{asset}/{name}.vtt"),
        size_bytes: TEXT.len() as u64,
        sha256: hex::encode(Sha256::digest(TEXT)),
        cues: 2,
    }
}

async fn add(world: &World, asset: Uuid, name: &str) {
    let new = new(asset, name);
    world.store.put(&new.key, TEXT.into(), "text/vtt").await.unwrap();
    world.catalogue.list_subtitle(asset, name, None, &new).await.unwrap();
}

async fn text(world: &World, path: &str) -> String {
    let answer = world.get(path).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    text
}

async fn etag(world: &World, path: &str) -> String {
    world.get(path).await.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn text_comes_and_goes_with_every_form_and_is_cut_like_the_pictures() {
    let world = start().await;
    let (asset, _) = world.playable(&[4000, 4000, 4000]).await;
    let forms = ["index.m3u8", "ts.m3u8", "manifest.mpd", "index.m3u8?from=4.5s&to=9.200s"];
    let mut before = Vec::new();
    for form in forms {
        before.push(etag(&world, &format!("{asset}/{form}")).await);
    }
    add(&world, asset, "00000000000a").await;
    for (form, before) in forms.iter().zip(&before) {
        assert_ne!(&etag(&world, &format!("{asset}/{form}")).await, before, "{form}");
    }

    let folder = format!("{VERSION}/t-00000000000a-v");
    let multivariant = text(&world, &format!("{asset}/index.m3u8")).await;
    let media = format!(
        "#EXT-X-MEDIA:TYPE=SUBTITLES,URI=\"{folder}/index.m3u8\",GROUP-ID=\"subtitles\",LANGUAGE=\"de\",NAME=\"Deutsch\",\
         AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,\
         public.accessibility.describes-music-and-sound\",STABLE-RENDITION-ID=\"t-00000000000a-v\"\n"
    );
    assert!(multivariant.contains(&media) && multivariant.contains("SUBTITLES=\"subtitles\""), "{multivariant}");
    let pictures = text(&world, &format!("{asset}/{VERSION}/v/index.m3u8")).await;
    let playlist = text(&world, &format!("{asset}/{folder}/index.m3u8")).await;
    let durations =
        |text: &str| text.lines().filter(|line| line.starts_with("#EXTINF")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(durations(&playlist), durations(&pictures));
    let head = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n";
    let over = "\n00:00:03.000 --> 00:00:05.500 line:0\nGuten <i>Tag</i>\n";
    let night = "\n00:00:09.000 --> 00:00:09.500\nund gute Nacht\n";
    for (number, cue) in [over, over, night].into_iter().enumerate() {
        assert!(playlist.contains(&format!("\n{number}.vtt\n")), "{playlist}");
        let answer = world.get(&format!("{asset}/{folder}/{number}.vtt")).await;
        assert_eq!(answer.headers()["content-type"], "text/vtt");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.text().await.unwrap(), format!("{head}{cue}\n"), "{number}");
    }

    // Beside transport streams the media's clock begins at 10 s.
    let multivariant = text(&world, &format!("{asset}/ts.m3u8")).await;
    assert!(multivariant.contains(&format!("URI=\"{folder}/ts.m3u8\"")), "{multivariant}");
    assert!(text(&world, &format!("{asset}/{folder}/ts.m3u8")).await.contains("\n2.ts.vtt\n"));
    let beside = text(&world, &format!("{asset}/{folder}/2.ts.vtt")).await;
    assert_eq!(beside, format!("{head}{night}\n").replace("MPEGTS:0,", "MPEGTS:900000,"));

    // A clip has the same segments.
    let multivariant = text(&world, &format!("{asset}/index.m3u8?from=4.5s&to=9.2s")).await;
    assert!(multivariant.contains(&format!("URI=\"{folder}/index.m3u8?from=4.500s&to=9.200s\"")), "{multivariant}");
    let clip = text(&world, &format!("{asset}/{folder}/index.m3u8?from=4.5s&to=9.2s")).await;
    let pictures = text(&world, &format!("{asset}/{VERSION}/v/index.m3u8?from=4.5s&to=9.2s")).await;
    assert!(clip.contains("\n1.vtt\n") && clip.contains("\n2.vtt\n") && !clip.contains("\n0.vtt\n"), "{clip}");
    assert!(clip.contains("#EXT-X-START:TIME-OFFSET=0.5,PRECISE=YES\n"), "{clip}");
    assert_eq!(durations(&clip).first(), durations(&pictures).first());

    let mpd = text(&world, &format!("{asset}/manifest.mpd")).await;
    assert!(mpd.contains(&format!("<BaseURL>{folder}/all.vtt</BaseURL>")) && mpd.contains("lang=\"de\""), "{mpd}");
    assert_eq!(text(&world, &format!("{asset}/{folder}/all.vtt")).await, TEXT);

    // With the subtitles goes all of it.
    assert!(world.catalogue.delete_subtitle(asset, "00000000000a").await.unwrap());
    for (form, before) in forms.iter().zip(&before) {
        assert_eq!(&etag(&world, &format!("{asset}/{form}")).await, before, "{form}");
    }
    for file in ["index.m3u8", "0.vtt", "all.vtt"] {
        assert_eq!(problem(world.get(&format!("{asset}/{folder}/{file}")).await).await.0, "not-found", "{file}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_there_is_not_is_not_found_and_what_is_there_has_a_tag() {
    let world = start().await;
    let (asset, _) = world.playable(&[4000, 4000, 4000]).await;
    add(&world, asset, "00000000000a").await;
    let folder = format!("{asset}/{VERSION}/t-00000000000a-v");
    for missing in ["3.vtt", "0.srt", "init.mp4", "0.m4s", "00.vtt", "i0.m4s", "18446744073709551615.vtt"] {
        assert_eq!(problem(world.get(&format!("{folder}/{missing}")).await).await.0, "not-found", "{missing}");
    }
    for missing in ["t-00000000000b-v", "t-00000000000a-w", "t-00000000000a", "t-0000000a-v"] {
        let path = format!("{asset}/{VERSION}/{missing}");
        for file in ["index.m3u8", "0.vtt"] {
            assert_eq!(problem(world.get(&format!("{path}/{file}")).await).await.0, "not-found", "{missing}/{file}");
        }
    }
    let path = format!("{folder}/1.vtt");
    let tag = etag(&world, &path).await;
    assert_eq!(world.ask(Method::GET, &path, &[("if-none-match", &tag)]).await.status(), 304);
    let part = world.ask(Method::GET, &path, &[("range", "bytes=0-5"), ("if-range", &tag)]).await;
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "WEBVTT"));
    assert_eq!(world.get(&format!("{folder}/index.m3u8?from=60s")).await.status(), 400);
    world.stop().await;
}

#[tokio::test]
async fn what_was_added_a_moment_ago_is_found_by_an_instance_that_knew_the_asset() {
    // A known answer is good for a minute; a fresh one for as long as this test takes.
    let world = World::start_with(|config| config.catalogue.fresh = "1ms".parse().unwrap()).await;
    let (asset, _) = world.playable(&[4000]).await;
    text(&world, &format!("{asset}/{VERSION}/v/index.m3u8")).await;
    add(&world, asset, "00000000000a").await;
    text(&world, &format!("{asset}/{VERSION}/t-00000000000a-v/0.vtt")).await;
    world.stop().await;
}

#[tokio::test]
async fn a_text_whose_object_is_damaged_or_gone_harms_nothing_else() {
    let world = start().await;
    let (asset, _) = world.playable(&[4000]).await;
    add(&world, asset, "00000000000a").await;
    add(&world, asset, "00000000000b").await;
    add(&world, asset, "00000000000c").await;
    let key = |name: &str| new(asset, name).key;
    world.store.put(&key("00000000000a"), "something else".into(), "text/vtt").await.unwrap();
    world.store.delete(&key("00000000000b")).await.unwrap();
    let status = async |path: &str| world.get(&format!("{asset}/{path}")).await.status().as_u16();
    assert_eq!(status(&format!("{VERSION}/t-00000000000a-v/0.vtt")).await, 500);
    assert_eq!(status(&format!("{VERSION}/t-00000000000b-v/0.vtt")).await, 404);
    assert_eq!(status(&format!("{VERSION}/t-00000000000c-v/0.vtt")).await, 200);
    assert_eq!(status(&format!("{VERSION}/v/0.m4s")).await, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_text_beside_an_upload_and_beside_what_is_made_of_it() {
    let world = start().await;
    let scratch = flame_test_kit::Scratch::new("subtitles");
    let file = std::fs::read(clip(&scratch, "plain.mp4", &[])).unwrap();
    let asset = upload(&world, &file, CONTAINER).await;
    add(&world, asset, "00000000000a").await;
    let pictures = track(&world, asset, 'v').await;
    let (version, grid) = pictures.rsplit_once('/').unwrap();
    let folder = format!("{version}/t-00000000000a-{grid}");
    for playlist in ["index.m3u8", "ts.m3u8", "all.vtt"] {
        let subrip = converted(&world.url(&format!("{folder}/{playlist}")));
        let wanted = "1\n00:00:03,000 --> 00:00:05,500\nGuten <i>Tag</i>\n";
        assert!(subrip.contains(wanted), "{playlist}: {subrip}");
    }
    let languages = |url: &str| {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args([
            "-v",
            "error",
            "-select_streams",
            "s",
            "-show_entries",
            "stream=codec_name:stream_tags=language",
        ]);
        let output = ffprobe.args(["-of", "csv=p=0", url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    // It shows the streams of programs first, without their language.
    let said = languages(&world.url(&format!("{asset}/manifest.mpd")));
    assert!(said.lines().any(|line| line == "webvtt,de"), "{said}");

    // A ladder takes its place: what a player has begun goes on, and what begins has the same text.
    let better = stored("v", &[4000, 4000, 4000]);
    world.put(asset, "v", better.object.clone(), better.finished.index.to_json()).await;
    world.publish(asset, vec![better.track.clone()]).await;
    let multivariant = text(&world, &format!("{asset}/index.m3u8")).await;
    assert!(multivariant.contains(&format!("\"{VERSION}/t-00000000000a-v/index.m3u8\"")), "{multivariant}");
    assert!(text(&world, &format!("{folder}/0.vtt")).await.contains("Guten <i>Tag</i>"));
    world.stop().await;
}

/// What FFmpeg makes of text at `url`, as SubRip.
fn converted(url: &str) -> String {
    let mut ffmpeg = Command::new("ffmpeg");
    let output = ffmpeg.args(["-nostdin", "-v", "error", "-i", url, "-f", "srt", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
