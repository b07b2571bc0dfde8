//! Suites that are held against a baseline, and the templates with which continuous integration runs them.

use std::process::Command;

use flame_test_kit::{Scratch, clips, repository};

use crate::world::{Ran, command, run};

/// A suite whose encoder copies `encode`, and says that it has `version`.
fn suite(folder: &Scratch, encode: &str, version: &str) -> String {
    let text = format!(
        "suite: copies
about: a test
baseline: copies.baseline.json
clips: {{ a: {{ file: a.mp4 }} }}
cases:
  - name: a copy
    clip: a
    subject: {{ command: {{ run: 'cat {{in}} > /dev/null; cp {} {{out}}', makes: mp4, version: 'echo {version}' }} }}
    metrics: [psnr]
    gates: [psnr.mean > 5]
    against: [{{ figure: psnr.mean, may_fall: 1, because: a copy is a copy }}]
",
        folder.join(encode).display()
    );
    let path = folder.join("copies.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn clips_in(folder: &Scratch) {
    std::fs::copy(clips::path("carphone_pristine"), folder.join("a.mp4")).unwrap();
    std::fs::copy(clips::path("carphone_distorted"), folder.join("b.mp4")).unwrap();
}

fn test(arguments: &[&str]) -> Ran {
    run(command().env_remove("CI").args(["quality", "test"]).args(arguments))
}

#[test]
fn a_regression_is_told_apart_from_a_tool_that_changed() {
    let folder = Scratch::new("baseline");
    clips_in(&folder);
    let good = suite(&folder, "a.mp4", "encoder 1");
    let ran = test(&[&good]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("make one with --update-baseline"), "{}", ran.out);

    let refused = run(command().env("CI", "true").args(["quality", "test", "--update-baseline", &good]));
    assert_eq!(refused.status, 2, "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("CI is set") && !folder.join("copies.baseline.json").exists(), "{}", refused.err);

    let ran = test(&["--update-baseline", "--repeats", "2", &good]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("psnr.mean: none -> 100.0000 (noise 0.0000)"), "{}", ran.out);
    let kept = std::fs::read_to_string(folder.join("copies.baseline.json")).unwrap();
    for word in ["\"command\": \"encoder 1\"", "\"libvmaf\": ", "\"flame\": ", "\"repeats\": 2", "\"clip_sha256\": "] {
        assert!(kept.contains(word), "{word}: {kept}");
    }
    let ran = test(&[&good]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);

    let bad = suite(&folder, "b.mp4", "encoder 1");
    let ran = test(&[&bad]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("regression: psnr.mean") && ran.out.contains("may fall by 1 (a copy is a copy)"),
        "{}",
        ran.out
    );

    // For programs it stands among the gates, with its figure and why.
    let ran = test(&["--json", &bad]);
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let gate = &said[0]["gates"][1];
    assert_eq!(gate["gate"], "psnr.mean against the baseline, may fall by 1", "{said:#}");
    assert!(gate["passed"] == false && gate["measured"].as_f64().is_some_and(|mean| mean < 99.0), "{said:#}");
    assert!(gate["why"].as_str().is_some_and(|why| why.contains("baseline 100.0000")), "{said:#}");

    let newer = suite(&folder, "b.mp4", "encoder 2");
    let ran = test(&[&newer]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("tool changed: psnr.mean") && ran.out.contains("encoder 1 -> encoder 2"), "{}", ran.out);

    // Looked at, and taken.
    let ran = test(&["--update-baseline", "--repeats", "1", &newer]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("command: encoder 1 -> encoder 2") && ran.out.contains("psnr.mean: 100.0000 -> "),
        "{}",
        ran.out
    );
    let ran = test(&[&newer]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);

    // Another clip is nothing to be held to.
    std::fs::copy(clips::path("carphone_distorted"), folder.join("a.mp4")).unwrap();
    let ran = test(&[&newer]);
    assert_eq!(ran.status, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("made of another clip"), "{}", ran.out);
    std::fs::write(folder.join("copies.baseline.json"), "{}").unwrap();
    assert_eq!(test(&[&newer]).status, 2);
}

#[test]
fn what_the_templates_for_continuous_integration_run_passes_and_fails() {
    let templates = ["github/quality.yml", "gitlab/.gitlab-ci.yml", "jenkins/Jenkinsfile"];
    let lines = templates.map(|name| {
        let text = std::fs::read_to_string(repository().join("templates/ci").join(name)).unwrap();
        assert!(text.lines().count() <= 12 && text.contains("FLAME_IMAGE"), "{name}: {text}");
        let line = text.lines().find(|line| line.contains("flame quality test")).expect("it runs suites");
        line[line.find("flame quality test").unwrap()..].split('\'').next().unwrap().trim().to_owned()
    });
    assert!(lines.iter().all(|line| *line == lines[0]), "all run the same: {lines:?}");

    let folder = Scratch::new("ci");
    std::fs::create_dir(folder.join("quality")).unwrap();
    clips_in(&folder);
    std::fs::rename(folder.join("a.mp4"), folder.join("quality/a.mp4")).unwrap();
    std::fs::copy(folder.join("quality/a.mp4"), folder.join("quality/encoded.mp4")).unwrap();
    let suite = "suite: mine\nabout: a test\ncases:\n  - name: only\n    subject: { files: { reference: a.mp4, distorted: encoded.mp4 } }\n    \
                 metrics: [psnr]\n    gates: [psnr.mean > 60]\n";
    std::fs::write(folder.join("quality/mine.yaml"), suite).unwrap();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_flame")).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let script = |line: &str| {
        run(Command::new("sh").args(["-c", line]).current_dir(folder.path()).env("PATH", &path).env("CI", "true"))
    };
    let ran = script(&lines[0]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    let junit = || std::fs::read_to_string(folder.join("quality.xml")).unwrap();
    assert!(junit().contains("tests=\"1\" failures=\"0\""), "{}", junit());
    std::fs::rename(folder.join("b.mp4"), folder.join("quality/encoded.mp4")).unwrap();
    let ran = script(&lines[0]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(junit().contains("failures=\"1\""), "{}", junit());
}
