//! The main job on real and odd input, through `flame up` and its router, before judges that nobody here wrote.

use std::path::PathBuf;

use flame_media_tests::command;
use flame_media_tests::playback::{self, Report};
use flame_media_tests::players::browser::Page;
use flame_media_tests::players::hls_js;
use flame_media_tests::source::Source;
use flame_test_kit::{Bundle, clips};
use url::Url;

/// PSNR in dB that the top rendition keeps against real footage of its own size.
const REAL_PSNR_DB: f64 = 35.0;
/// The same against test pictures, whose hard coloured edges cost more.
const SYNTHETIC_PSNR_DB: f64 = 30.0;
/// Where pictures change their size or shape on the way, scalers differ: this only says that they are the same pictures.
const RESIZED_PSNR_DB: f64 = 20.0;

/// Brings a file in, waits for its job, and returns the URL that plays.
fn ingest(bundle: &Bundle, file: &std::path::Path) -> Url {
    let done = bundle.json(&["ingest", file.to_str().expect("paths of clips are UTF-8")]);
    assert_eq!(done[0]["job"]["state"], "succeeded", "{done:#}");
    let play_url = done[0]["play_url"].as_str().unwrap_or_else(|| panic!("nothing to play: {done:#}"));
    play_url.parse().expect("the printed URL is one")
}

async fn judged(file: PathBuf, psnr_bound_db: f64) -> Report {
    let bundle = Bundle::up().await;
    let source = Source::measure(&file).await.expect("the source can be measured");
    let url = ingest(&bundle, &file);
    let said = playback::rates_are_measured(&url, &source).await;
    said.unwrap_or_else(|objection| panic!("{}: {objection:#}", file.display()));
    let report = playback::judge(&url, &source, psnr_bound_db).await;
    let report = report.unwrap_or_else(|objection| panic!("{}: {objection:#}", file.display()));
    let manifest = url.join("manifest.mpd").expect("it lies beside the playlist");
    let dash = playback::judge_dash(&manifest, &source, report.sound_samples).await;
    dash.unwrap_or_else(|objection| panic!("{}: {objection:#}", file.display()));
    report
}

#[tokio::test]
async fn real_footage_with_surround_sound_is_whole() {
    let report = judged(clips::path("bigbuckbunny"), REAL_PSNR_DB).await;
    assert!(report.video_renditions >= 2, "{report:?}");
    assert_eq!(report.gstreamer.pictures, 132);
}

#[tokio::test]
async fn real_footage_without_sound_is_whole() {
    let report = judged(clips::path("bikes"), REAL_PSNR_DB).await;
    assert_eq!((report.sound_samples, report.gstreamer.pictures), (None, 250));
}

#[tokio::test]
async fn hls_js_plays_what_was_ingested() {
    let bundle = Bundle::up().await;
    let url = ingest(&bundle, &clips::path("bigbuckbunny"));
    let seen = playback::watch(&url).await.expect("nobody objects");
    assert!(seen.duration_s > 5.2 && seen.audio_tracks == Some(1), "{seen:?}");
}

#[tokio::test]
async fn hls_js_plays_what_odd_input_became() {
    let bundle = Bundle::up().await;
    let odd = [
        "audio-only",
        "one-frame",
        "variable-rate",
        "edit-list",
        "late-audio",
        "negative-offsets",
        "rotated",
        "interlaced",
    ];
    let urls = odd.map(|recipe| (recipe, ingest(&bundle, &clips::recipe(recipe).make())));
    for (recipe, url) in urls {
        let seen = hls_js::watch(url.as_str(), Page::OwnOrigin).await.expect("the browser can be run");
        assert_eq!(seen.flaw(), None, "{recipe}");
        assert!(seen.played_s >= seen.duration_s - 0.5, "{recipe}: {seen:?}");
        assert!(seen.frames > 0 || recipe == "audio-only", "{recipe}: {seen:?}");
    }
}

/// How many pictures FFmpeg's `idet` takes for interlaced, and how many for whole ones.
async fn fields(of: &str) -> (u32, u32) {
    let told =
        command::output("ffmpeg", ["-hide_banner", "-nostdin", "-i", of, "-an", "-vf", "idet", "-f", "null", "-"])
            .await;
    let told = String::from_utf8_lossy(&told.expect("ffmpeg starts").stderr).into_owned();
    let line =
        told.lines().find_map(|line| line.split_once("Multi frame detection:")).expect("idet says what it saw").1;
    let count = |word: &str| -> u32 {
        let words: Vec<_> = line.split_whitespace().collect();
        let at = words.iter().position(|other| *other == word).expect("idet's words");
        words[at + 1].parse().expect("a number of pictures")
    };
    (count("TFF:") + count("BFF:"), count("Progressive:"))
}

#[tokio::test]
async fn what_came_in_fields_goes_out_in_whole_pictures() {
    let (bundle, source) = (Bundle::up().await, clips::recipe("interlaced").make());
    let (interlaced, whole) = fields(source.to_str().expect("UTF-8")).await;
    assert!(interlaced > 20 && whole == 0, "the source is interlaced: {interlaced} and {whole}");
    let url = ingest(&bundle, &source);
    // `idet` needs some pictures to be sure.
    let (interlaced, whole) = fields(url.as_str()).await;
    assert!(whole > 4 * interlaced, "{interlaced} pictures of fields, {whole} whole ones");
}

/// One test a recipe, so that a failure names it.
macro_rules! is_whole {
    ($($test:ident: $recipe:expr, $bound_db:expr;)*) => {$(
        #[tokio::test]
        async fn $test() {
            judged($recipe.make(), $bound_db).await;
        }
    )*};
}

is_whole! {
    film_rate_is_whole: clips::recipe("synthetic").rate("24000/1001"), SYNTHETIC_PSNR_DB;
    ntsc_rate_is_whole: clips::recipe("synthetic").seconds(9.0).rate("30000/1001"), SYNTHETIC_PSNR_DB;
    moov_last_is_whole: clips::recipe("moov-last"), SYNTHETIC_PSNR_DB;
    no_audio_is_whole: clips::recipe("no-audio"), SYNTHETIC_PSNR_DB;
    audio_only_is_whole: clips::recipe("audio-only"), SYNTHETIC_PSNR_DB;
    one_frame_is_whole: clips::recipe("one-frame"), SYNTHETIC_PSNR_DB;
    odd_size_is_whole: clips::recipe("odd-size"), RESIZED_PSNR_DB;
    rotated_is_whole: clips::recipe("rotated"), RESIZED_PSNR_DB;
    variable_rate_is_whole: clips::recipe("variable-rate"), SYNTHETIC_PSNR_DB;
    anamorphic_is_whole: clips::recipe("anamorphic"), RESIZED_PSNR_DB;
    surround_is_whole: clips::recipe("surround"), SYNTHETIC_PSNR_DB;
    ten_bit_is_whole: clips::recipe("ten-bit"), SYNTHETIC_PSNR_DB;
    interlaced_is_whole: clips::recipe("interlaced"), RESIZED_PSNR_DB;
    edit_list_is_whole: clips::recipe("edit-list"), SYNTHETIC_PSNR_DB;
    late_audio_is_whole: clips::recipe("late-audio"), SYNTHETIC_PSNR_DB;
    negative_offsets_are_whole: clips::recipe("negative-offsets"), SYNTHETIC_PSNR_DB;
    open_gop_is_whole: clips::recipe("open-gop"), SYNTHETIC_PSNR_DB;
    matroska_is_whole: clips::recipe("matroska"), SYNTHETIC_PSNR_DB;
    avi_is_whole: clips::recipe("avi"), SYNTHETIC_PSNR_DB;
    webm_is_whole: clips::recipe("webm"), SYNTHETIC_PSNR_DB;
    mpegts_is_whole: clips::recipe("mpegts"), SYNTHETIC_PSNR_DB;
}
