//! `POST /assets/{id}/subtitles`: files of every format, and what becomes of those that are none.

use flame_api::media::{AudioStream, Probe, SoundRole};
use flame_api::metadata::{NewAsset, Source};
use flame_api::subtitles::{AddedSubtitle, SubtitleQuery, SubtitleRole};
use flame_service_host::config::Bytes;
use reqwest::{Method, Response};
use uuid::Uuid;

use crate::platform::Platform;
use crate::world::{World, json, problem};

const WEBVTT: &str = "WEBVTT\n\n00:01.000 --> 00:02.500 line:0\nGuten <i>Tag</i>\n";
const SUBRIP: &str =
    "1\r\n00:00:01,000 --> 00:00:02,500\r\nGuten <i>Tag</i>\r\n\r\n2\r\n00:00:04,000 --> 00:00:03,000\r\nnever\r\n";
const TTML: &str = r#"<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml" xml:lang="fr-CA"><body><div><p begin="1s" end="2.5s">Bonjour</p></div></body></tt>"#;

async fn start() -> (Platform, World, Uuid) {
    start_with(4 << 20).await
}

async fn start_with(max_subtitles: u64) -> (Platform, World, Uuid) {
    let platform = Platform::start().await;
    let world = World::start_with(|config| {
        config.host.router = Some(platform.url());
        config.limits.max_subtitles = Bytes(max_subtitles);
    })
    .await;
    let id = Uuid::now_v7();
    let audio = AudioStream {
        number: 0,
        role: SoundRole::Main,
        title: None,
        codec: "aac".to_owned(),
        sample_rate_hz: 48_000,
        channels: 2,
        language: None,
        duration_ms: Some(9_000),
    };
    let probe = Probe {
        container: "mp4".to_owned(),
        duration_ms: 9_000,
        bitrate_bps: 1,
        video: None,
        audio: Some(audio),
        other_audio: Vec::new(),
    };
    let source =
        Source { key: format!("default/sources/{id}"), file_name: None, size_bytes: 1, sha256: "ab".repeat(32) };
    let asset = NewAsset { id, title: "A film".to_owned(), source, probe, poster_key: None };
    platform.client.create_asset(&asset).await.unwrap();
    (platform, world, id)
}

async fn post(world: &World, asset: Uuid, query: &str, body: &str) -> Response {
    let request = world.request(Method::POST, &format!("/assets/{asset}/subtitles?{query}"));
    request.body(body.to_owned()).send().await.unwrap()
}

async fn subtitle_keys(world: &World) -> Vec<String> {
    world.keys().await.into_iter().filter(|key| key.contains("/subtitles/")).collect()
}

#[tokio::test]
async fn every_format_becomes_webvtt_in_the_store_and_a_row_in_the_catalogue() {
    let (platform, world, asset) = start().await;
    for (body, query, language, cues, warned) in [
        (WEBVTT, "language=DEU&title=Deutsch&role=caption&default=true", "de", 1, 0),
        (SUBRIP, "language=de-at", "de-AT", 1, 1),
        (TTML, "role=forced", "fr-CA", 1, 0),
    ] {
        let answer = post(&world, asset, query, body).await;
        let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        let added: AddedSubtitle = json(answer, 201).await;
        let listed = platform.client.asset(asset).await.unwrap().unwrap();
        assert_eq!((listed.subtitles.last(), etag), (Some(&added.subtitle), format!("\"{}\"", listed.revision)));
        assert_eq!((added.subtitle.language.as_str(), added.subtitle.cues), (language, cues));
        assert_eq!(added.warnings.len(), warned, "{:?}", added.warnings);
        assert!(added.subtitle.key.starts_with(&format!("default/subtitles/{asset}/")), "{}", added.subtitle.key);
        let stored = world.store().get(&added.subtitle.key, 1 << 20).await.unwrap();
        assert_eq!(stored.len() as u64, added.subtitle.size_bytes);
        let text = String::from_utf8(stored.to_vec()).unwrap();
        assert!(text.starts_with(&format!("WEBVTT Language: {language}\n\n")), "{text}");
        assert!(text.contains("\n00:00:01.000 --> 00:00:02.500"), "{text}");
    }
    let listed = platform.client.asset(asset).await.unwrap().unwrap().subtitles;
    let said: Vec<_> = listed.iter().map(|known| (known.role, known.title.as_deref(), known.default)).collect();
    assert_eq!(
        said,
        [
            (SubtitleRole::Caption, Some("Deutsch"), true),
            (SubtitleRole::Subtitle, None, false),
            (SubtitleRole::Forced, None, false)
        ]
    );

    // Through the typed client, and again: it is the same text in another format.
    let query = SubtitleQuery {
        language: Some("de".to_owned()),
        role: Some(SubtitleRole::Caption),
        ..SubtitleQuery::default()
    };
    let http = flame_api::Client::new(platform.url(), None);
    eventually_registered(&http).await;
    let again = http.add_subtitle(asset, &query, "text/vtt", WEBVTT.into()).await.unwrap();
    assert_eq!((&again.subtitle.id, again.subtitle.default), (&listed[0].id, false));
    assert_eq!(platform.client.asset(asset).await.unwrap().unwrap().subtitles.len(), 3);
}

/// Waits until the router knows ingest.
async fn eventually_registered(client: &flame_api::Client) {
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        client.upload(Uuid::now_v7()).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_with_its_line_and_nothing_is_kept() {
    let (platform, world, asset) = start_with(2000).await;
    for (body, named) in [
        ("no subtitles at all", "line 1"),
        ("<tt xmlns=\"http://www.w3.org/ns/ttml\">\n<body>\n<p>", "line 3"),
        ("<!DOCTYPE tt [\n<!ENTITY a \"b\">]><tt/>", "line 2: a document type"),
        ("WEBVTT\n\n", "no text"),
    ] {
        let detail = problem(post(&world, asset, "language=de", body).await, 422, "unreadable-subtitles").await;
        assert!(detail.contains(named), "{body}: {detail}");
    }
    let long = format!("WEBVTT\n\nNOTE {}", "x".repeat(2000));
    problem(post(&world, asset, "language=de", &long).await, 413, "too-large").await;
    for (query, named) in [("", "language"), ("language=german%20please", "no language tag"), ("language=de&x=1", "x")]
    {
        let detail = problem(post(&world, asset, query, WEBVTT).await, 400, "bad-request").await;
        assert!(detail.contains(named), "{query}: {detail}");
    }
    problem(post(&world, Uuid::now_v7(), "language=de", WEBVTT).await, 404, "not-found").await;
    // What the catalogue refuses is not kept either.
    let query = "language=de&role=forced&default=true";
    let detail = problem(post(&world, asset, query, WEBVTT).await, 422, "unprocessable").await;
    assert!(detail.contains("`default`"), "{detail}");
    let request = world.request(Method::POST, &format!("/assets/{asset}/subtitles?language=de"));
    let answer = request.header("if-match", "\"7\"").body(WEBVTT).send().await.unwrap();
    problem(answer, 412, "precondition-failed").await;
    assert_eq!(subtitle_keys(&world).await, Vec::<String>::new());
    assert_eq!(platform.client.asset(asset).await.unwrap().unwrap().subtitles, []);
}

#[tokio::test]
async fn without_the_catalogue_nothing_is_taken() {
    let (platform, world, asset) = start().await;
    let Platform { metadata, router, .. } = platform;
    metadata.stop().await;
    problem(post(&world, asset, "language=de", WEBVTT).await, 503, "unavailable").await;
    assert_eq!(subtitle_keys(&world).await, Vec::<String>::new());
    router.stop().await;
}
