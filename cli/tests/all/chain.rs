//! `flame chain`, and chains of a user's own through the whole product.

use flame_test_kit::clips::recipe;
use serde_json::Value;

use crate::world::{World, flame};

const SMALL: &str = "\
chain: small
parameters:
  crf: { default: 28, about: constant quality }
stages:
  source: { type: decode }
  sizes: { type: scale, input: source, sizes: [180] }
  video: { type: encode-video, input: sizes, crf: \"${crf}\", gates: [\"psnr_y.p5 >= 20\", \"track.peak_bps <= 5000000\"] }
  version: { type: package, input: video }
";

#[test]
fn a_mistake_in_a_document_is_found_without_any_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.yaml");
    let file = path.to_str().unwrap();
    std::fs::write(&path, SMALL.replace("type: scale", "type: scael")).unwrap();
    // Nobody listens there.
    for command in [vec!["chain", "validate", file], vec!["ingest", file, "--chain", file]] {
        let ran = flame(&[&["--router", "http://127.0.0.1:9"], command.as_slice()].concat());
        assert_eq!(ran.status, 2, "{command:?}: {}", ran.err);
        assert!(ran.err.contains("small.yaml:6:18: ") && ran.err.contains("did you mean `scale`?"), "{}", ran.err);
    }
    std::fs::write(&path, SMALL).unwrap();
    let ran = flame(&["--router", "http://127.0.0.1:9", "chain", "validate", file, "--set", "crf=30"]);
    assert!(ran.status == 0 && ran.out.contains("`small` is right"), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("was not checked"), "{}", ran.err);
    let ran = flame(&["chain", "validate", file, "--set", "crf=99"]);
    assert!(ran.status == 2 && ran.err.contains("from 0 to 63"), "{}", ran.err);
    let schema: Value = serde_json::from_str(&flame(&["chain", "schema"]).out).unwrap();
    assert_eq!(schema["title"], "FLAME chain");
}

#[test]
fn a_document_of_ones_own_is_run_and_shown_stage_by_stage() {
    let world = World::up();
    let path = world.scratch.path().join("small.yaml");
    let file = path.to_str().unwrap();
    std::fs::write(&path, SMALL).unwrap();
    assert!(world.flame(&["chain", "list"]).out.contains("audio-only"));
    assert!(world.flame(&["chain", "show", "proxy"]).out.contains("--set crf=28"));
    assert_eq!(world.json(&["chain", "encoders"])[0]["installed"], true);
    let ran = world.flame(&["chain", "validate", file]);
    assert!(ran.status == 0 && !ran.err.contains("was not checked"), "{} {}", ran.out, ran.err);

    let film = recipe("synthetic").seconds(2.0).make();
    let film = film.to_str().unwrap();
    let ingested = &world.json(&["ingest", film, "--chain", file, "--set", "crf=30"])[0];
    let job = &ingested["job"];
    assert_eq!(
        (&job["state"], &job["chain"], &job["parameters"]["crf"]),
        (&"succeeded".into(), &"small".into(), &"30".into())
    );
    assert_eq!(job["tracks"][0]["height"], 180);
    assert!(ingested["play_url"].is_string(), "{ingested}");
    let watched = world.flame(&["job", "watch", job["id"].as_str().unwrap()]);
    assert_eq!(watched.status, 0, "{}", watched.err);
    for word in ["encode-video", "v180 passes psnr_y.p5 >= 20", "v180 passes track.peak_bps <= 5000000"] {
        assert!(watched.out.contains(word), "{word} is not in {}", watched.out);
    }

    // Shipped ones by their names, on arrival.
    for (chain, kinds) in [("proxy", vec!["video", "audio"]), ("audio-only", vec!["audio"])] {
        let ingested = &world.json(&["chain", "run", film, "--chain", chain])[0];
        assert_eq!((&ingested["job"]["state"], &ingested["job"]["chain"]), (&"succeeded".into(), &chain.into()));
        let tracks = ingested["job"]["tracks"].as_array().unwrap();
        assert_eq!(tracks.iter().map(|track| &track["kind"]).collect::<Vec<_>>(), kinds, "{ingested}");
    }

    // On an asset that is there, with another value for a stage: only that is encoded.
    let asset = ingested["id"].as_str().unwrap();
    let proxy = ["chain", "run", asset, "--chain", "proxy", "--set", "video.preset=superfast"];
    let first = world.flame(&proxy);
    assert!(first.status == 0 && !first.out.contains("reused: v360"), "{} {}", first.out, first.err);
    for word in ["reused: a64", "reused: thumbnails"] {
        assert!(first.out.contains(word), "{word} is not in {}", first.out);
    }
    let again = world.flame(&proxy);
    assert!(again.status == 0 && again.out.contains("done (reused: v360)"), "{} {}", again.out, again.err);
    let wrong = world.flame(&["chain", "run", asset, "--chain", "proxy", "--set", "video.prest=slow"]);
    assert!(wrong.status != 0 && wrong.err.contains("did you mean `preset`?"), "{} {}", wrong.out, wrong.err);

    // The same, so bad that it may not be published.
    std::fs::write(&path, SMALL.replace("psnr_y.p5 >= 20", "psnr_y.p5 >= 60")).unwrap();
    let ran = world.flame(&["ingest", film, "--chain", file]);
    assert_eq!(ran.status, 1, "{} {}", ran.out, ran.err);
    for word in ["stage `video`", "v180", "`psnr_y.p5 >= 60`", "frame "] {
        assert!(ran.err.contains(word), "{word} is not in {}", ran.err);
    }
}
