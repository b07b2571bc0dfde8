//! What was live and is encrypted, before players that nobody here wrote: a channel whose key changes, while it goes on and as the
//! recording that remains; and the samples of a recording.

use std::collections::BTreeSet;
use std::time::Duration;

use flame_media_tests::command::quiet;
use flame_media_tests::measure;
use flame_media_tests::players::browser::{self, Player, Viewing};
use flame_test_kit::{Bundle, eventually, ports};
use serde_json::Value;

use crate::live::{publish, publish_to};
use crate::parts::Apart;

/// Time in which what must happen has happened, on a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(90);
/// Segments of two seconds under one key.
const KEY_SEGMENTS: u32 = 2;
/// Seconds that are watched: at least three keys open them.
const WATCHED_S: u32 = 14;
/// Pictures a second of the encoder.
const RATE: u32 = 30;

async fn text(url: &str) -> Result<String, String> {
    let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status == 200 { Ok(text) } else { Err(format!("{status} {text}")) }
}

/// The playlist of the first track that a multivariant playlist lists.
async fn first_track(url: &str) -> Result<String, String> {
    let all = text(url).await?;
    let track = all.lines().find(|line| !line.is_empty() && !line.starts_with('#')).ok_or_else(|| all.clone())?;
    let (folder, _) = url.rsplit_once('/').ok_or_else(|| url.to_owned())?;
    text(&format!("{folder}/{track}")).await
}

/// The keys that a media playlist names.
fn keys(listed: &str) -> BTreeSet<&str> {
    let named = listed.lines().filter_map(|line| line.strip_prefix("#EXT-X-KEY:METHOD=AES-128,URI=\""));
    named.filter_map(|rest| rest.split('"').next()).collect()
}

/// FFmpeg decodes the first seconds of `url` without a complaint; how many pictures those had.
async fn pictures_of(url: &str, seconds: u32) -> anyhow::Result<usize> {
    let seconds = seconds.to_string();
    let arguments = ["-nostdin", "-v", "error", "-xerror", "-i", url, "-t", seconds.as_str()];
    let output = ["-map", "0:v:0", "-map", "0:a:0", "-f", "framecrc", "-"];
    let told = quiet("ffmpeg", arguments.into_iter().chain(output)).await?;
    // A line a frame, which begins with the number of its stream.
    Ok(String::from_utf8_lossy(&told).lines().filter(|line| line.starts_with("0,")).count())
}

/// The validator, which names the clause of what it finds, finds nothing.
fn conforms(apart: &Apart, arguments: &[&str]) {
    let ran = apart.flame(&[&["quality", "conform"][..], arguments].concat());
    let said = [ran.stdout, ran.stderr].map(|told| String::from_utf8_lossy(&told).into_owned());
    assert!(ran.status.success(), "{}{}", said[0], said[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn players_open_a_channel_whose_key_changes_live_and_as_its_recording() {
    let mut apart = Apart::new();
    let [rtmp] = ports::free_tcp();
    apart.set("ingest", "FLAME_INGEST__RTMP__LISTEN", &format!("127.0.0.1:{rtmp}"));
    apart.set("streaming", "FLAME_STREAMING__LIVE__KEY_SEGMENTS", &KEY_SEGMENTS.to_string());
    for part in ["router", "metadata", "ingest"] {
        apart.start(part);
    }
    apart.stands("ingest").await;
    apart.start("streaming");
    let created: Value = eventually(DEADLINE, || async {
        let made = apart.flame(&["channel", "create", "Keys", "--encrypt", "aes-128", "--json"]);
        serde_json::from_slice(&made.stdout).map_err(|_| format!("{}", String::from_utf8_lossy(&made.stderr)))
    })
    .await;
    let (id, key) = (created["id"].as_str().expect("it has one"), created["key"].as_str().expect("it is new"));
    let encoder = publish(&format!("rtmp://127.0.0.1:{rtmp}/live/{key}"));
    let url = apart.url(&format!("~streaming/{id}/index.m3u8"));
    // FFmpeg knows nothing of parts: what lists nothing else yet is no playlist to it.
    eventually(DEADLINE, || async {
        let listed = first_track(&url).await.map_err(|why| format!("{why}\n{}", apart.logs()))?;
        if listed.matches("#EXTINF:").count() >= 3 { Ok(()) } else { Err(listed) }
    })
    .await;

    let viewing = Viewing { for_s: WATCHED_S, ..Viewing::default() };
    let (seen, pictures) = tokio::join!(browser::watch(Player::HlsJs, &url, &viewing), pictures_of(&url, WATCHED_S));
    let seen = seen.expect("the browser can be run");
    println!("{seen:?}");
    assert!(seen.errors.is_empty() && seen.failed_requests.is_empty(), "{seen:?}\n{}", apart.logs());
    // Four seconds are under one key: whoever played ten has opened what three of them close.
    assert!(seen.played_s >= 10.0 && seen.frames > 0 && seen.sound_bytes > 0, "{seen:?}");
    let pictures = pictures.expect("FFmpeg plays the channel");
    // The last picture may lie on the edge of the time that was asked for.
    let wanted = usize::try_from(WATCHED_S * RATE - 2).expect("it is small");
    assert!(pictures >= wanted, "{pictures} pictures, {wanted} at least were wanted");

    // By the book, too: reloads, parts, and I-frames, each under its key.
    conforms(&apart, &[url.as_str(), "--for", "5s"]);
    drop(encoder);
    let ended = apart.json(&["channel", "end", id]);
    assert_eq!(ended["state"], "ended", "{ended}");
    for form in ["index.m3u8", "ts.m3u8"] {
        let url = url.replace("index.m3u8", form);
        let listed = eventually(DEADLINE, || async {
            let listed = first_track(&url).await?;
            if listed.ends_with("#EXT-X-ENDLIST\n") { Ok(listed) } else { Err(listed) }
        })
        .await;
        // Two changes at least, and no key twice.
        let named = keys(&listed);
        assert!(named.len() >= 3 && named.len() == listed.matches("#EXT-X-KEY:METHOD=AES-128").count(), "{listed}");
        let decoded = measure::decodes(&url).await;
        decoded.unwrap_or_else(|error| panic!("FFmpeg decodes {form} of the recording: {error:#}"));
    }
    conforms(&apart, &[url.as_str()]);
    // A part of it, which several keys open, too; the whole may be longer than players are waited for.
    let clip = format!("{url}?from=1s&to=13s");
    let seen = browser::watch(Player::HlsJs, &clip, &Viewing::default()).await.expect("the browser can be run");
    println!("{seen:?}");
    assert!(seen.errors.is_empty() && seen.failed_requests.is_empty() && seen.ended, "{seen:?}");
    assert!(seen.played_s >= 10.0 && seen.sound_bytes > 0, "{seen:?}");
}

#[tokio::test]
async fn players_open_the_encrypted_samples_of_a_recording() {
    let bundle = Bundle::up().await;
    let channel = bundle.json(&["channel", "create", "Recorded"]);
    let (encoder, url) = publish_to(&bundle, &channel).await;
    eventually(DEADLINE, || async {
        let listed = first_track(&url).await?;
        // hls.js 1.7 deciphers the only picture of a segment twice: the last one is to have several.
        let begun = listed.rsplit("#EXTINF:").next().unwrap_or_default().matches("#EXT-X-PART:").count();
        if listed.matches("#EXTINF:").count() >= 4 && (3..8).contains(&begun) { Ok(()) } else { Err(listed) }
    })
    .await;
    drop(encoder);
    let id = channel["id"].as_str().expect("it has one");
    let _: Value = bundle.json(&["channel", "end", id]);
    let _: Value = bundle.json(&["asset", "encrypt", "--method", "sample-aes", id]);
    let listed = eventually(DEADLINE, || async {
        let listed = first_track(&url).await?;
        let is_so = listed.ends_with("#EXT-X-ENDLIST\n") && listed.contains("#EXT-X-KEY:METHOD=SAMPLE-AES");
        if is_so { Ok(listed) } else { Err(listed) }
    })
    .await;
    let judged = async |player: Player, form: &str, viewing: &Viewing| {
        let seen = browser::watch(player, &url.replace("index.m3u8", form), viewing).await;
        let seen = seen.expect("the browser can be run");
        println!("{} {form}: {seen:?}", player.name());
        assert!(seen.ended && seen.errors.is_empty() && seen.failed_requests.is_empty(), "{form}: {seen:?}");
        assert!(seen.played_s >= 5.0 && seen.frames > 0 && seen.sound_bytes > 0, "{form}: {seen:?}");
    };
    judged(Player::HlsJs, "ts.m3u8", &Viewing::default()).await;
    // Of DASH the page has to know the key.
    let key_id = listed.split_once("/keys/").expect("it names the key").1.get(..32).expect("its identifier").to_owned();
    let octets = reqwest::get(url.replace("index.m3u8", &format!("keys/{key_id}"))).await.expect("the router answers");
    let octets = octets.bytes().await.expect("a key");
    let key: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let viewing = Viewing { clear_key: Some(format!("{key_id}:{key}")), ..Viewing::default() };
    judged(Player::Shaka, "manifest.mpd", &viewing).await;
    // FFmpeg decodes all of it with the key, and not without.
    let mpd = url.replace("index.m3u8", "manifest.mpd");
    let opened = ["-nostdin", "-v", "error", "-xerror", "-cenc_decryption_key", key.as_str(), "-i", mpd.as_str()];
    let told = quiet("ffmpeg", opened.into_iter().chain(["-map", "0", "-f", "null", "-"])).await;
    told.expect("FFmpeg opens the samples");
    assert!(measure::decodes(&mpd).await.is_err(), "nothing of it is encrypted");
}
