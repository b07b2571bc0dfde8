//! `flame quality`: scores, gates and suites as a build meets them, told apart by exit status.

use std::time::Duration;

use flame_test_kit::{Scratch, clips, repository, wait_for};
use serde_json::Value;

use crate::world::{World, flame};

#[test]
fn a_comparison_says_all_and_its_gates_decide_the_status() {
    let (reference, distorted) = (clips::path("carphone_pristine"), clips::path("carphone_distorted"));
    let (reference, distorted) = (reference.to_str().unwrap(), distorted.to_str().unwrap());
    let folder = Scratch::new("quality");
    let (csv, junit, html) = (folder.join("scores.csv"), folder.join("junit.xml"), folder.join("report.html"));
    let compare = ["quality", "compare", reference, distorted, "--metrics", "psnr,ssim,vmaf"];

    let files =
        ["--csv", csv.to_str().unwrap(), "--junit", junit.to_str().unwrap(), "--gate", "ssim.mean > 0.1", "--json"];
    let ran = flame(&[&compare[..], &files].concat());
    assert_eq!(ran.status, 0, "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    let frames = document["frames"].as_array().expect("frames are listed");
    assert_eq!((frames.len() as u64, &frames[7]["frameNum"]), (120, &Value::from(7)));
    let mean: f64 = frames.iter().map(|frame| frame["metrics"]["vmaf"].as_f64().unwrap()).sum::<f64>() / 120.0;
    assert!((document["pooled_metrics"]["vmaf"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert_eq!(document["flame"]["alignment"]["dropped_frames"], 0);
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 121);
    let report = std::fs::read_to_string(&junit).unwrap();
    assert!(report.contains("tests=\"2\" failures=\"0\" errors=\"0\""), "{report}");

    let files = ["--junit", junit.to_str().unwrap(), "--html", html.to_str().unwrap(), "--gate", "vmaf.p5 >= 99"];
    let ran = flame(&[&compare[..], &files].concat());
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("vmaf.p5 >= 99 (measured"), "{}", ran.err);
    assert!(ran.out.contains("worst vmaf:") && ran.out.contains("confidence"), "{}", ran.out);
    let report = std::fs::read_to_string(&junit).unwrap();
    assert!(report.contains("failures=\"1\""), "{report}");
    let page = std::fs::read_to_string(&html).unwrap();
    assert_eq!((page.matches("data:image/jpeg;base64,/9j/").count(), page.matches("<polyline").count()), (5, 3));
    assert!(
        page.contains(">fails<") && !page.contains("href=") && !page.contains("src=\"http"),
        "it needs nothing else"
    );

    let ran = flame(&[&compare[..], &["--gate", "vif_scale0.mean > 0"]].concat());
    assert_eq!(ran.status, 2, "{}", ran.err);
    let ran = flame(&["quality", "compare", reference, "/nowhere/film.mp4"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    let bikes = clips::path("bikes");
    let ran = flame(&[
        "quality",
        "compare",
        reference,
        bikes.to_str().unwrap(),
        "--metrics",
        "psnr",
        "--junit",
        junit.to_str().unwrap(),
    ]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("do not correspond"), "{}", ran.err);
    assert!(std::fs::read_to_string(&junit).unwrap().contains("errors=\"1\""));
}

#[test]
fn what_samples_and_pictures_do_not_say_is_stated_or_asked_for() {
    let folder = Scratch::new("stated");
    let clip = clips::path("carphone_pristine");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(&clip)
        .args(["-map", "0:v", "-frames:v", "10", "-f", "rawvideo", "-pix_fmt", "yuv420p", "ten.yuv"])
        .args(["-map", "0:v", "-frames:v", "10", "-pix_fmt", "yuv420p", "-c:v", "ffv1", "ten.mkv"])
        .args(["-map", "0:v", "-frames:v", "10", "p-%02d.png"])
        .current_dir(folder.path())
        .output()
        .expect("ffmpeg is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (raw, film, pictures) = (path("ten.yuv"), path("ten.mkv"), path("p-%02d.png"));
    let compare = |distorted: &str, rest: &[&str]| {
        let command = ["quality", "compare", &film, distorted, "--metrics", "psnr", "--confidence", "0"];
        flame(&[&command[..], rest].concat())
    };
    // The size is the clip's own; a gate holds that nothing was lost.
    let probed = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=s=x:p=0"])
        .arg(&film)
        .output()
        .expect("ffprobe is installed");
    let stated = format!("{}@30000/1001:yuv420p", String::from_utf8_lossy(&probed.stdout).trim());
    let page = path("report.html");
    let ran = compare(&raw, &["--raw", &stated, "--html", &page, "--gate", "psnr.min >= 100"]);
    assert_eq!(ran.status, 0, "{stated}: {}{}", ran.out, ran.err);
    let ran = compare(&raw, &["--raw", "2x2@25:yuv420p", "--raw-distorted", &stated, "--gate", "psnr.min >= 100"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let ran = compare(&pictures, &["--images", "30000/1001", "--gate", "psnr_y.min >= 20"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    for (distorted, rest, why) in [
        (&raw, &[] as &[&str], "say it with --raw or --raw-distorted"),
        (&raw, &["--raw", "ten"][..], "does not say what raw pictures are"),
        (&pictures, &[][..], "say it with --images"),
        (&film, &["--raw", "2x2@25:yuv420p"][..], "neither of the two is called .yuv or .raw"),
        (&film, &["--images", "25"][..], "neither of the two has a number's place"),
        (&raw, &["--raw", "2x2@25:yuv420p", "--images", "25"][..], "neither of the two has a number's place"),
    ] {
        let ran = compare(distorted, rest);
        assert_eq!(ran.status, 2, "{distorted} {rest:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(why), "{distorted} {rest:?}: {}", ran.err);
    }
    // In a suite the case says it.
    let suite = |rest: &str| {
        let text = format!(
            "suite: raw\nabout: a test\ncases:\n  - name: only\n    subject: {{ files: {{ reference: ten.mkv, distorted: 't*.yuv' }} }}\n    \
             metrics: [psnr]\n    gates: [psnr.min >= 100]\n{rest}"
        );
        std::fs::write(folder.join("raw.yaml"), text).unwrap();
        flame(&["quality", "test", &path("raw.yaml")])
    };
    let ran = suite("");
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("say it in the case"), "{}", ran.out);
    let ran = suite(&format!("    raw: {stated}\n"));
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);

    std::fs::remove_file(folder.join("p-05.png")).unwrap();
    let ran = compare(&pictures, &["--images", "25"]);
    assert_eq!((ran.status, ran.err.contains("are missing")), (3, true), "{}{}", ran.out, ran.err);
}

#[test]
fn the_smoke_suite_passes_in_a_minute() {
    let folder = Scratch::new("smoke");
    let junit = folder.join("junit.xml");
    let suite = repository().join("media-tests/suites/smoke.yaml");
    let began = std::time::Instant::now();
    let ran = flame(&["quality", "test", suite.to_str().unwrap(), "--junit", junit.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert_eq!(ran.out.matches("fails as it must").count(), 2, "{}", ran.out);
    assert!(std::fs::read_to_string(&junit).unwrap().contains("failures=\"0\" errors=\"0\""));
}

#[test]
fn a_suite_ends_as_what_it_found() {
    let folder = Scratch::new("suite");
    let clip = clips::path("carphone_pristine");
    std::fs::copy(&clip, folder.join("a.mp4")).unwrap();
    std::fs::copy(clips::path("carphone_distorted"), folder.join("b-1.mp4")).unwrap();
    std::fs::copy(&clip, folder.join("b-2.mp4")).unwrap();
    let write = |name: &str, subject: &str, rest: &str| {
        let text = format!(
            "suite: {name}\nabout: a test\nclips: {{ a: {{ file: a.mp4 }} }}\ncases:\n  - name: only\n    subject: {subject}\n    metrics: [psnr]\n{rest}"
        );
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let files = "{ files: { reference: a.mp4, distorted: 'b-*.mp4' } }";
    let hold = write("hold.yaml", files, "    gates: [psnr.mean > 5]\n");
    let ran = flame(&["quality", "test", &hold, "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let ended: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    assert_eq!((ended[0]["case"].as_str(), ended[1]["case"].as_str()), (Some("only: b-1.mp4"), Some("only: b-2.mp4")));
    assert_eq!(ended[1]["comparison"]["columns"][0]["pooled"]["min"], 100.0);

    let fail = write("fail.yaml", files, "    gates: [psnr.mean > 99]\n");
    let ran = flame(&["quality", "test", &fail]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("FAILED  only: b-1.mp4") && ran.out.contains("passed  only: b-2.mp4"), "{}", ran.out);

    // Several machines share them, and each has its part.
    for (part, word, status) in [("1/2", "passed", 0), ("2/2", "FAILED", 1)] {
        let ran = flame(&["quality", "test", &hold, &fail, "--shard", part]);
        let suites = [ran.out.contains("hold.yaml: a test"), ran.out.contains("fail.yaml: a test")];
        assert_eq!((ran.status, suites), (status, [status == 0, status == 1]), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(word), "{}", ran.out);
    }
    let idle = flame(&["quality", "test", &hold, "--shard", "3/3"]);
    assert_eq!((idle.status, idle.out.contains("no case is in part 3/3")), (0, true), "{}{}", idle.out, idle.err);
    assert_eq!(flame(&["quality", "test", &hold, "--shard", "3/2"]).status, 2);
    let first = flame(&["quality", "test", &fail, &hold, "--fail-fast"]);
    assert_eq!((first.status, first.out.contains("hold.yaml: a test")), (1, false), "{}{}", first.out, first.err);

    let control = write("control.yaml", files, "    gates: [psnr.mean > 5]\n    must_fail: true\n");
    let ran = flame(&["quality", "test", &control]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("must fail and does not"), "{}", ran.out);

    let broken = "{ command: { run: 'echo no encoder >&2; false {in} {out}', makes: mp4 } }\n    clip: a";
    let ran = flame(&["quality", "test", &write("broken.yaml", broken, "    gates: [psnr.mean > 5]\n")]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("no encoder"), "{}", ran.out);

    let wrong = write("wrong.yaml", files, "    gates: [vmaf.mean > 5]\n");
    let ran = flame(&["quality", "test", &hold, &wrong]);
    assert_eq!(ran.status, 2, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("wrong.yaml") && ran.err.contains("not among what is measured"), "{}", ran.err);
    assert!(!ran.out.contains("passed"), "nothing is run: {}", ran.out);
}

#[test]
fn an_inspection_says_what_is_wrong_and_passes_nothing_that_it_could_not_measure() {
    let film = clips::path("bigbuckbunny");
    let film = film.to_str().unwrap();
    let folder = Scratch::new("inspect");
    let junit = folder.join("junit.xml");
    let inspect = ["quality", "inspect", film, "--junit", junit.to_str().unwrap()];
    let ran = flame(&[&inspect[..], &["--gate", "loudness.integrated >= -40", "--gate", "black.count <= 0"]].concat());
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("loudness.true_peak") && ran.out.contains("gop.longest_s"), "{}", ran.out);
    assert!(std::fs::read_to_string(&junit).unwrap().contains("tests=\"3\" failures=\"0\" errors=\"0\""));
    let ran = flame(&[&inspect[..], &["--gate", "loudness.integrated >= -3"]].concat());
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    let ran = flame(&["quality", "inspect", film, "--json", "--shortest", "500ms"]);
    let found: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    assert_eq!((&found["audio"]["channels"], &found["video"]["frames"]), (&Value::from(6), &Value::from(132)));

    let mute = clips::path("bikes");
    let mute = mute.to_str().unwrap();
    let ran = flame(&["quality", "inspect", mute, "--gate", "silence.count <= 0", "--gate", "video.frames <= 0"]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("no sound") && ran.out.contains("not measured: loudness"), "{}{}", ran.out, ran.err);
    for (wrong, said) in [("psnr.mean > 3", "needs a reference"), ("loudness.loudest > 3", "integrated")] {
        let ran = flame(&["quality", "inspect", mute, "--gate", wrong]);
        assert_eq!(ran.status, 2, "{}{}", ran.out, ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    let ran = flame(&["quality", "inspect", "/nowhere/film.mp4"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
}

#[test]
fn the_signal_suite_passes_and_its_controls_fail() {
    let suite = repository().join("media-tests/suites/signal.yaml");
    let ran = flame(&["quality", "test", suite.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out.matches("fails as it must").count(), 6, "{}", ran.out);
}

#[test]
fn the_service_measures_what_the_others_hold() {
    let world = World::up();
    let film = clips::path("bigbuckbunny");
    let id = world.json(&["ingest", film.to_str().unwrap()])[0]["id"].as_str().expect("it has an id").to_owned();
    let folder = Scratch::new("remote");
    let (csv, html) = (folder.join("scores.csv"), folder.join("report.html"));
    let source = format!("{id}/source");
    let compare = ["quality", "compare", &source, "--remote", "--metrics", "psnr,ssim", "--frames", "50"];

    // A track of the ladder from the store, then the whole asset as it plays, through the router.
    let track = format!("{id}/v720");
    let files = ["--csv", csv.to_str().unwrap(), "--html", html.to_str().unwrap(), "--gate", "psnr_y.p5 >= 30"];
    let ran = world.flame(&[&compare[..], &[track.as_str()], &files].concat());
    assert_eq!(ran.status, 0, "{}{}{}", ran.out, ran.err, world.log());
    assert!(ran.out.contains("50 pairs of frames") && ran.out.contains("passed: psnr_y.p5"), "{}", ran.out);
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 51);
    assert!(std::fs::read_to_string(&html).unwrap().contains("psnr_y.p5"));
    let ran = world.flame(&[&compare[..], &[id.as_str(), "--gate", "ssim.min >= 1"]].concat());
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);

    let url = format!("{}/~streaming/{id}/index.m3u8", world.router);
    for media in [id.as_str(), url.as_str()] {
        // Mixed down to two channels the film is soft.
        let gates = ["--gate", "loudness.integrated >= -50", "--gate", "gop.irregular <= 0"];
        let ran = world.flame(&[&["quality", "inspect", media, "--remote"], &gates[..]].concat());
        assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    }
    // The same figures by a process of this command's own.
    let ran =
        world.flame(&["quality", "inspect", &track, "--gate", "video.height >= 720", "--gate", "video.height <= 720"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);

    let jobs = world.json(&["quality", "jobs", "--asset", &id]);
    let kinds: Vec<_> = jobs.as_array().expect("it is a list").iter().map(|job| &job["kind"]).collect();
    assert_eq!(kinds, ["inspection", "inspection", "comparison", "comparison"]);
    assert_eq!((&jobs[2]["passed"], &jobs[3]["passed"]), (&Value::from(false), &Value::from(true)));

    // The catalogue keeps it with the asset; it hears of it a moment later.
    let scores = wait_for(Duration::from_secs(60), || {
        let scores = world.json(&["asset", "scores", &id]);
        let count = scores.as_array().map_or(0, Vec::len);
        if count == 4 { Ok(scores) } else { Err(format!("{count} scores")) }
    });
    let job = |media: &str| {
        let is_it = |score: &&Value| score["media"] == *media && score["measure"] == "comparison";
        let score = scores.as_array().and_then(|scores| scores.iter().find(is_it));
        score.and_then(|score| score["job_id"].as_str()).unwrap_or_else(|| panic!("{media}: {scores:#}")).to_owned()
    };
    let (of_track, of_whole) = (job(&track), job(&id));
    let ran = world.flame(&["asset", "scores", &id, "--figure", "psnr_y"]);
    assert!(ran.status == 0 && ran.out.contains("psnr_y.p5 ") && !ran.out.contains("ssim."), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("1 of 1 FAIL") && ran.out.contains("hold"), "{}", ran.out);
    let between = world.json(&["asset", "scores", &id, "--between", &of_track, &of_whole, "--figure", "psnr.mean"]);
    let figure = &between["figures"][0];
    let by = figure["is"].as_f64().unwrap() - figure["was"].as_f64().unwrap();
    assert!((figure["by"].as_f64().unwrap() - by).abs() < 1e-9, "{between:#}");
    assert!(between["notes"][0].as_str().is_some_and(|note| note.contains("tracks are not the same")), "{between:#}");
    let ran = world.flame(&["asset", "scores", &id, "--between", &of_track, &id]);
    assert!(ran.status == 1 && ran.err.contains("has measured"), "{}{}", ran.out, ran.err);

    // Of either kind; what has ended stays as it is.
    for job in [&jobs[0], &jobs[2]] {
        assert_eq!(world.json(&["quality", "cancel", job["id"].as_str().unwrap()])["state"], "succeeded");
    }
    let ran = world.flame(&["quality", "cancel", &id]);
    assert!(ran.status == 1 && ran.err.contains("flame quality jobs"), "{}{}", ran.out, ran.err);

    let ran = world.flame(&["quality", "inspect", film.to_str().unwrap(), "--remote"]);
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("flame ingest"), "{}", ran.err);
    let ran = world.flame(&["quality", "compare", &source, &track]);
    assert!(ran.status == 2 && ran.err.contains("--remote"), "{}", ran.err);
}

#[test]
fn what_an_encoder_needs_more_is_what_another_program_says() {
    let folder = Scratch::new("curve");
    let suite = repository().join("media-tests/suites/x264-curve.yaml");
    let (suite, page) = (suite.to_str().unwrap(), folder.join("curve.html"));
    let ran = flame(&["quality", "curve", suite, "--html", page.to_str().unwrap(), "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let curves: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    let sides = |nth: usize| {
        let points = curves[nth]["points"].as_array().expect("they are listed");
        let side = |at: usize| points.iter().map(|point| point[at].clone()).collect::<Vec<_>>();
        (side(0), side(1))
    };
    let asked = serde_json::json!([sides(0), sides(1)]).to_string();
    let mut judge = std::process::Command::new(repository().join("tools/python"))
        .arg(repository().join("media-tests/judges/curve.py"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("tools/python starts");
    std::io::Write::write_all(&mut judge.stdin.take().unwrap(), asked.as_bytes()).unwrap();
    let said = judge.wait_with_output().unwrap();
    let theirs: f64 = String::from_utf8_lossy(&said.stdout).trim().parse().expect("it is a number");
    let ours = curves[1]["delta_rate_percent"].as_f64().expect("it is no anchor");
    assert!((ours - theirs).abs() < 1e-3 && ours > 5.0, "{ours}, {theirs}: {asked}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("<svg") && page.matches("<circle").count() == 8 && !page.contains("src="), "{page}");
    // Whose figure is not measured is refused before anything is encoded.
    assert_eq!(flame(&["quality", "curve", suite, "--figure", "ssim.mean"]).status, 2);
}
