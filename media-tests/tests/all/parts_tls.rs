//! Each part as a process of its own that shows the others a certificate: the main job over TLS alone, certificates that are replaced
//! while somebody watches, and what becomes of a part that has none, or somebody else's. `flame parts --tls` made all that they have.

use std::process::{Command, Output, Stdio};

use flame_media_tests::playback;
use flame_media_tests::source::Source;
use flame_test_kit::{clips, eventually, repository};
use serde_json::json;
use url::Url;

use crate::parts::{Apart, PATIENCE, ingested};

/// Life of a certificate: it is renewed after two thirds of that.
const LIFE: &str = "30s";

fn said(ran: &Output) -> String {
    format!("{} {}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

/// The certificates that parts show, in the order of their names; nothing where one has none.
fn certificates(apart: &Apart) -> Vec<Vec<u8>> {
    let read =
        |part: String| std::fs::read(apart.file(&format!("{part}/certificate/identity.pem"))).unwrap_or_default();
    apart.parts().into_iter().map(read).collect()
}

/// Whoever asks the router with the certificate of `part`, or with none, to have an endpoint stand behind `name`: the status.
fn registered(apart: &Apart, part: Option<&str>, name: &str) -> String {
    let port = apart.among_parts();
    let body = json!({ "address": "127.0.0.1:9", "generation": 1, "ttl_ms": 100, "state": "booted", "tls": true });
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "20", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT"]);
    curl.args(["--resolve", &format!("router.flame.internal:{port}:127.0.0.1")]);
    curl.arg("--cacert").arg(apart.file("router/ca/ca.pem"));
    if let Some(part) = part {
        let identity = apart.file(&format!("{part}/certificate/identity.pem"));
        curl.arg("--cert").arg(&identity).arg("--key").arg(&identity);
    }
    curl.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
    curl.arg(format!("https://router.flame.internal:{port}/api/router/endpoints/{name}/thief"));
    let ran = curl.stdin(Stdio::null()).output().expect("curl starts");
    assert!(ran.status.success(), "{}", said(&ran));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Starts a part with other settings of its certificate, and hears why it ends.
fn refused(apart: &Apart, part: &str, settings: &[(&str, &str)]) -> String {
    let mut command = apart.part(part);
    for (setting, value) in settings {
        command.env(format!("FLAME_{}__HOST__TLS__{setting}", part.to_uppercase()), value);
    }
    let ran = command.arg(apart.document(part)).stdin(Stdio::null()).output().expect("the part's program starts");
    assert!(!ran.status.success(), "{}", said(&ran));
    said(&ran)
}

/// Plays an asset from beginning to end, again and again, as players do, until `is_enough`: what failed.
async fn watched(apart: &Apart, asset: &str, is_enough: impl Fn() -> bool) -> (u32, Vec<String>) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    let (mut asked, mut failed) = (0, Vec::new());
    let mut get = async |url: Url| {
        asked += 1;
        let answer = client.get(url.clone()).send().await;
        let whole = match answer {
            Ok(answer) if answer.status().is_success() => answer.text().await.map_err(|error| error.to_string()),
            Ok(answer) => Err(answer.status().to_string()),
            Err(error) => Err(error.to_string()),
        };
        whole.map_err(|error| failed.push(format!("{url}: {error}"))).unwrap_or_default()
    };
    let listed = |playlist: &str, base: &Url| {
        let lines = playlist.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| base.join(line).expect("playlists list URLs")).collect::<Vec<_>>()
    };
    let began = std::time::Instant::now();
    while !is_enough() && began.elapsed() < PATIENCE {
        for name in ["streaming", "cdn"] {
            let multivariant: Url = apart.url(&format!("~{name}/{asset}/index.m3u8")).parse().expect("it is a URL");
            for media in listed(&get(multivariant.clone()).await, &multivariant) {
                for segment in listed(&get(media.clone()).await, &media) {
                    get(segment).await;
                }
            }
        }
    }
    (asked, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_do_the_main_job_over_certificates_that_are_renewed_meanwhile() {
    let mut apart = Apart::with_certificates();
    apart.set("router", "FLAME_ROUTER__ISSUER__LIFE", LIFE);
    let parts = apart.parts();
    // The one that gives certificates first; the others wait for it, but not for good.
    apart.start("router");
    for part in parts.iter().filter(|part| !["router", "streaming"].contains(&part.as_str())) {
        apart.start(part);
    }
    apart.stands("ingest").await;
    apart.start("streaming");
    apart.ready().await;
    let listed = apart.json(&["endpoint", "list"]);
    let listed = listed["items"].as_array().expect("a page has items").clone();
    assert!(listed.len() >= 8 && listed.iter().all(|one| one["tls"] == true), "{listed:#?}");
    for one in &listed {
        let address = one["address"].as_str().expect("it has an address");
        let plain = reqwest::get(format!("http://{address}/health/live")).await;
        assert!(plain.is_err() || plain.is_ok_and(|answer| answer.status() == 400), "{one} speaks plain HTTP");
    }

    // In, conditioned, played through the edge, measured.
    let file = clips::path("bikes");
    let source = Source::measure(&file).await.expect("the source can be measured");
    let asset = ingested(&apart.json(&["ingest", file.to_str().expect("paths are UTF-8")]));
    let url: Url = apart.url(&format!("~cdn/{asset}/index.m3u8")).parse().expect("it is a URL");
    let report = playback::judge(&url, &source, 35.0).await;
    let report = report.unwrap_or_else(|objection| panic!("{objection:#}\n{}", apart.logs()));
    assert_eq!(report.gstreamer.pictures, 250, "{report:?}");
    // Of what lies in the store: the presentation is the routers, which are asked over TLS.
    let measured =
        apart.flame(&["quality", "inspect", &format!("{asset}/source"), "--remote", "--gate", "video.height >= 100"]);
    assert!(measured.status.success(), "{}\n{}", said(&measured), apart.logs());

    // All certificates are replaced while somebody watches, and nobody notices.
    let before = certificates(&apart);
    assert!(before.iter().all(|one| !one.is_empty()), "{parts:?}");
    let are_new = || certificates(&apart).iter().zip(&before).all(|(now, before)| now != before);
    let (asked, failed) = watched(&apart, &asset, are_new).await;
    assert!(are_new(), "not all of {parts:?} were renewed\n{}", apart.logs());
    assert!(failed.is_empty(), "{} of {asked} failed: {:?}\n{}", failed.len(), failed.first(), apart.logs());

    // What everybody reports arrives, the router's too.
    eventually(PATIENCE, || async {
        let asked = apart.flame(&["clmc", "query", "SELECT count(requests) FROM router"]);
        let said = said(&asked);
        if asked.status.success() && said.contains("COUNT") { Ok(()) } else { Err(format!("{said}\n{}", apart.logs())) }
    })
    .await;

    // The orchestrator has endpoints stand behind names that its certificate does not list, by its token.
    let vod = repository().join("templates/services/vod/template.yaml");
    let deployed = apart.json(&["template", "deploy", vod.to_str().expect("paths are UTF-8"), "--wait"]);
    let endpoints = deployed["endpoints"].as_array().expect("it has endpoints").clone();
    assert!(!endpoints.is_empty() && endpoints.iter().all(|one| one["state"] == "connected"), "{deployed:#}");
    let gone = apart.flame(&["template", "undeploy", "vod", "vod-main", "--wait"]);
    assert!(gone.status.success(), "{}\n{}", said(&gone), apart.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_part_s_certificate_is_that_part_and_no_other_and_is_it_again_after_a_kill() {
    let mut apart = Apart::with_certificates();
    for part in ["router", "metadata", "ingest", "streaming"] {
        if part == "streaming" {
            apart.stands("ingest").await;
        }
        apart.start(part);
    }
    let are_there = async |apart: &Apart| {
        eventually(PATIENCE, || async {
            let ran = apart.flame(&["endpoint", "list", "--json"]);
            let names = said(&ran);
            let is_there = |name: &&str| names.contains(&format!("\"{name}\""));
            let missing: Vec<_> =
                ["metadata.main", "streaming.main"].into_iter().filter(|name| !is_there(name)).collect();
            let asked = apart.flame(&["asset", "list"]);
            if missing.is_empty() && asked.status.success() {
                Ok(())
            } else {
                Err(format!("{missing:?}: {names} {}\n{}", said(&asked), apart.logs()))
            }
        })
        .await;
    };
    are_there(&apart).await;
    assert_eq!(registered(&apart, Some("metadata"), "metadata"), "200");
    assert_eq!(registered(&apart, Some("metadata"), "ingest"), "403");
    assert_eq!(registered(&apart, None, "metadata"), "401");
    // What is refused at its start says why, and what to do.
    let empty = apart.file("empty");
    let of_metadata = apart.file("metadata/certificate");
    let folder = |path: &std::path::Path| path.to_str().expect("paths are UTF-8").to_owned();
    let none = refused(&apart, "streaming", &[("FOLDER", &folder(&empty)), ("JOIN_TOKEN", "x")]);
    assert!(none.contains("flame ca join-token"), "{none}");
    let other = refused(&apart, "streaming", &[("FOLDER", &folder(&of_metadata))]);
    assert!(
        other.contains("is of a service at local for metadata.main, this is a service for streaming.main"),
        "{other}"
    );
    let spent = refused(&apart, "streaming", &[("FOLDER", &folder(&empty))]);
    assert!(spent.contains("the join token is spent"), "{spent}");
    let made = Command::new(flame_test_kit::programs::program("flame"))
        .args(["ca", "join-token", "--name", "metadata", "--data"])
        .arg(apart.file("router"))
        .output();
    let made = made.expect("flame starts");
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let foreign = refused(&apart, "streaming", &[("FOLDER", &folder(&empty)), ("JOIN_TOKEN", &token)]);
    assert!(foreign.contains("the join token is not for the name streaming.main"), "{foreign}");
    let surrogate = refused(&apart, "vcdn", &[("FOLDER", &folder(&of_metadata))]);
    assert!(surrogate.contains("for vcdn.main for cdn.main for cdn.signed"), "{surrogate}");

    // Parts that are killed come back as who they were: nobody joins again.
    let before = certificates(&apart);
    for part in ["router", "metadata", "ingest", "streaming"] {
        apart.kill(part);
        apart.start(part);
        are_there(&apart).await;
    }
    assert_eq!(certificates(&apart), before);
}
