//! Wrong usage, and nobody there: the exit status says which, the sentence says what to do.

use flame_test_kit::Scratch;

use crate::world::flame;

#[test]
fn help_names_every_command() {
    let ran = flame(&["--help"]);
    assert_eq!(ran.status, 0);
    for name in ["up", "down", "demo", "ingest", "asset", "job", "token", "ca", "doctor", "completions"] {
        assert!(ran.out.lines().any(|line| line.trim_start().starts_with(name)), "{name} is not in:\n{}", ran.out);
    }
}

#[test]
fn wrong_usage_is_status_2() {
    let folder = Scratch::new("usage");
    let manifest = folder.path().join("list.csv");
    std::fs::write(&manifest, "file\na.mp4\n").unwrap();
    for arguments in [
        &["upp"][..],
        &["up", "--listen", "here"],
        &["up", "--steering", "/nowhere/steering.toml"],
        &["up", "--steering", manifest.to_str().unwrap()],
        &["up", "--webhooks", "/nowhere/webhooks.toml"],
        &["up", "--webhooks", manifest.to_str().unwrap()],
        &["--router", "ftp://example.org", "asset", "list"],
        &["demo", "vod", "/nowhere/film.mp4"],
        &["demo"],
        &["demo", "nothing", "--once"],
        &["ingest"],
        &["ingest", "/nowhere/film.mp4"],
        &["ingest", "--manifest", manifest.to_str().unwrap()],
        &["asset", "show", "no-uuid"],
        &["token", "issue", "--scope", "everything"],
        &["token", "issue", "--tenant", "Not A Label"],
        &["token", "revoke", "rubbish"],
        &["ca", "join-token"],
        &["ca", "join-token", "--role", "router", "--name", "media"],
        &["ca", "join-token", "--name", "a--b"],
        &["ca", "join-token", "--name", "media", "--ttl", "8760h"],
        &["ca", "take-back", "rubbish"],
    ] {
        let ran = flame(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(!ran.err.is_empty(), "{arguments:?} says nothing");
    }
}

#[test]
fn nobody_there_is_status_3_and_says_what_to_do() {
    let [port] = flame_test_kit::ports::free_tcp();
    let folder = Scratch::new("usage");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    write("a.mp4", "a film");
    let entries = write("list.csv", "path,title,identifier\na.mp4,One,house:1\na.mp4,Two,house:2\n");
    let manifest = write("manifest.csv", "path,chain\na.mp4,none\na.mp4,none\n");
    for arguments in [&["asset", "list"][..], &["asset", "import", &entries], &["ingest", "--manifest", &manifest]] {
        let ran = flame(&[&["--router", &format!("http://127.0.0.1:{port}")], arguments].concat());
        assert_eq!(ran.status, 3, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("is `flame up` running?"), "{}", ran.err);
    }
}

#[test]
fn the_scenarios_are_named() {
    let ran = flame(&["demo", "--list"]);
    assert_eq!(ran.status, 0);
    let names: Vec<_> = ran.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names,
        [
            "vod",
            "ingest",
            "metadata",
            "transcode",
            "transrate",
            "live",
            "quality",
            "switch",
            "indirection",
            "vcdn",
            "multicast",
            "path",
            "adapt",
            "sla"
        ]
    );
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = flame(&["completions", shell]);
        assert!(ran.status == 0 && ran.out.contains("flame"), "{shell}");
        // clap_complete gives fish nothing for what has no flag.
        let has_values = matches!(shell, "bash" | "zsh");
        assert!(ran.out.contains("indirection") || !has_values, "{shell}: scenarios are not completed");
    }
    let checked = "flame=$1; source <(\"$flame\" completions bash) && complete -p flame";
    let bash = std::process::Command::new("bash").args(["-c", checked, "bash", env!("CARGO_BIN_EXE_flame")]).output();
    let bash = bash.expect("bash starts");
    assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
}

#[test]
fn the_doctor_looks_at_everything_and_says_what_is_in_the_way() {
    const LOOKED_AT: [&str; 9] =
        ["port", "RTMP port", "SRT port", "WebRTC port", "disk", "codecs", "multicast", "docker", "privileges"];
    let folder = Scratch::new("doctor");
    // Busy for as long as it is looked at; others of this machine may hold it, too.
    let _busy = std::net::UdpSocket::bind("127.0.0.1:8890");
    let mut doctor = crate::world::command();
    doctor
        .args(["doctor", "--json", "--data"])
        .arg(folder.join("data"))
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let ran = crate::world::run(&mut doctor);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("SRT port"), "{}", ran.err);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let looked_at: Vec<_> = findings.iter().map(|finding| finding["what"].as_str().unwrap()).collect();
    assert_eq!(looked_at, LOOKED_AT);
    let of = |what: &str| findings.iter().find(|finding| finding["what"] == what).unwrap();
    assert!(
        of("SRT port")["state"] == "bad" && of("SRT port")["cost"].as_str().unwrap().contains("--srt"),
        "{findings:?}"
    );
    assert!(
        of("docker")["state"] == "limited" && of("docker")["detail"].as_str().unwrap().contains("/nowhere"),
        "{findings:?}"
    );
    assert!(of("codecs")["state"] == "good" && of("codecs")["cost"].is_null(), "{findings:?}");
}
