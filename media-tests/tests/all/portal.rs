//! The portal, as a person uses it in Chromium: links, cards, an upload, a channel, an endpoint that is drained, a template that is
//! mistyped and then deployed, and a surrogate that is killed while a video plays through it.

use std::collections::BTreeSet;
use std::path::Path;

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, Scratch, clips};
use serde_json::{Value, json};

/// Brings a file in under a title; gives its identifier.
fn ingest(bundle: &Bundle, file: &Path, title: &str, chain: &str) -> String {
    let arguments = ["ingest", file.to_str().expect("paths of clips are UTF-8"), "--title", title, "--chain", chain];
    let done = bundle.json(&arguments);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

#[tokio::test]
async fn chromium_finds_its_way_through_the_portal() {
    let bundle = Bundle::up().await;
    let linked = ingest(&bundle, &clips::path("bikes"), "Bikes, not conditioned", "none");
    let clicked = ingest(&bundle, &clips::path("bigbuckbunny"), "A <b>bunny</b>", "ladder");
    let long = ingest(&bundle, &clips::recipe("synthetic").seconds(60.0).make(), "A minute", "none");
    let file = clips::path("bikes");
    let url = bundle.router().trim_end_matches('/').to_owned();
    let mut arguments = vec![url.clone()];
    for (name, value) in [("--linked", linked.as_str()), ("--click", "A <b>bunny</b>"), ("--long", &long)] {
        arguments.extend([name.to_owned(), value.to_owned()]);
    }
    arguments.extend(["--upload".to_owned(), file.to_str().expect("paths of clips are UTF-8").to_owned()]);
    arguments.extend(browser::pictures());
    let seen = browser::node("portal.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("portal.mjs prints one JSON object");

    // A link plays its asset, a card another; titles are text.
    for (which, title) in [("linked", "Bikes, not conditioned"), ("clicked", "A <b>bunny</b>")] {
        assert_eq!((&seen[which]["title"], &seen[which]["trouble"]), (&json!(title), &json!("")), "{seen:#}");
        assert!(seen[which]["at_s"].as_f64().is_some_and(|at_s| at_s > 1.0), "{which}: {seen:#}");
    }
    // It plays on in a corner while something else is looked at: the same player, not another one from the start.
    let beside = &seen["beside"];
    assert_eq!(beside["title"], "Bikes, not conditioned", "{seen:#}");
    assert!(beside["to_s"].as_f64() > beside["from_s"].as_f64().map(|from_s| from_s + 1.0), "{seen:#}");
    let cards = json!([
        { "title": "A minute", "standing": "As it was uploaded" },
        { "title": "A <b>bunny</b>", "standing": "just now" },
        { "title": "Bikes, not conditioned", "standing": "As it was uploaded" },
    ]);
    assert_eq!(seen["cards"], cards, "{seen:#}");
    assert!(seen["address"].as_str().is_some_and(|address| address.ends_with(&clicked)), "{seen:#}");

    // What is uploaded is conditioned, plays, and comes to its end after a seek.
    let upload = &seen["upload"];
    assert_eq!((&upload["ended"], &upload["seeks"]), (&json!(true), &json!([true, true, true])), "{seen:#}");
    assert!(upload["frames"].as_u64() > Some(30) && upload["height"].as_u64() > Some(0), "{seen:#}");
    // Who points at the time bar sees the moments there before going to one.
    let preview = &upload["preview"];
    assert!(preview["places"][0] != preview["places"][1] && preview["sheet"].as_u64() > Some(0), "{upload:#}");
    // What playback says of itself is what is seen: rendition, buffer, delay, stalls, and the surrogate that it came from.
    let says = |what: &str| upload["statistics"][what].as_str().unwrap_or_else(|| panic!("no {what}: {upload:#}"));
    assert!(says("Rendition").starts_with(&format!("{}p, ", upload["statistics"]["shown"])), "{upload:#}");
    let number = |what: &str, unit: &str| says(what).strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    assert!(number("Buffer", " s").is_some_and(|ahead_s| ahead_s > 0.0), "{upload:#}");
    assert!(number("Last segment", " ms").is_some(), "{upload:#}");
    assert!(says("Came from").starts_with("vcdn-"), "{upload:#}");
    assert_eq!(says("Stalls"), "0", "before somebody sought: {seen:#}");

    // Who points at a card sees moments of it.
    let places = seen["hover"]["places"].as_array().expect("places");
    assert!(places.len() == 2 && places[0] != places[1], "{seen:#}");
    assert!(seen["hover"]["sheet"].as_u64() > Some(0), "{seen:#}");

    // A channel says where encoders publish, and the bundle knows of it.
    assert_eq!(seen["live"]["title"], "A <b>channel</b>", "{seen:#}");
    let addresses = seen["live"]["addresses"].as_array().expect("addresses");
    for scheme in ["rtmp://", "srt://", &format!("{url}/~ingest/whip/")] {
        assert!(
            addresses.iter().any(|one| one.as_str().is_some_and(|one| one.starts_with(scheme))),
            "{scheme}: {seen:#}"
        );
    }
    let channels = bundle.json(&["channel", "list"]);
    assert!(channels.to_string().contains("A <b>channel</b>"), "{channels:#}");

    // Draining is seen where it was asked for, and told as a command.
    assert_eq!(seen["endpoint"]["states"], json!(["serving", "draining", "serving"]), "{seen:#}");
    let command = seen["endpoint"]["command"].as_str().expect("a command");
    assert!(command.contains("endpoint connect transcode "), "{command}");

    // What was conditioned is measured against what was uploaded: a gate that holds, one that does not, a plot of each metric.
    let quality = &seen["quality"];
    let gates: Vec<_> = quality["gates"].as_array().expect("gates").iter().filter_map(Value::as_str).collect();
    assert_eq!((gates[1], gates[3]), ("kept", "not kept"), "{quality:#}");
    assert!(quality["plots"].as_u64() >= Some(3), "{quality:#}");
    assert!(quality["facts"].to_string().contains(" LUFS"), "{quality:#}");
    // The worst frames are seen, and a click into a plot chooses the one that is nearest: the last, then the first.
    let pictures = quality["worst"]["seen"].as_array().expect("pictures");
    assert!(pictures.len() > 1 && pictures.iter().all(|seen| seen == true), "{quality:#}");
    assert_eq!(quality["worst"]["chosen"], json!([pictures.len() - 1, 0]), "{quality:#}");

    // From what plays back to what was uploaded, and what was measured on the way.
    let origin = &seen["origin"];
    let stages = origin["stages"].as_array().expect("stages");
    assert!(stages.len() >= 4 && stages[0] == "bigbuckbunny.mp4", "source, version, tracks: {origin:#}");
    // What was measured is there with its figures, and the worst frames of it, each of which leads to the plots around it.
    let measured = origin["measured"].to_string();
    assert!(measured.contains("vmaf") && measured.contains("not kept"), "{origin:#}");
    let pictures = origin["pictures"].as_array().expect("pictures");
    assert!(!pictures.is_empty() && pictures.iter().all(|width| width.as_u64() > Some(0)), "{origin:#}");
    let leads = origin["leads"].as_str().expect("an address");
    assert!(leads.starts_with("#/quality/comparisons/") && leads.matches('-').count() > 4, "{origin:#}");
    assert!(origin["linked"].as_u64() > Some(0), "{origin:#}");
    assert!(origin["facts"]["Video"].as_str().is_some_and(|said| said.contains("h264, 1280×720")), "{origin:#}");

    // A title can be had back, and what was deleted, too.
    assert_eq!(seen["trash"], json!({ "before": "A minute", "titles": ["Renamed", "A minute"] }), "{seen:#}");

    // A mistyped template is marked at its line and not deployed; the right one stands, and says why.
    let template = &seen["template"];
    let line = template["line"].as_u64().expect("a line");
    assert_eq!(template["marked"], line.to_string(), "{template:#}");
    assert!(template["found"].as_str().is_some_and(|found| found.contains("`image`")), "{template:#}");
    assert_eq!(template["refused"], true, "{template:#}");
    assert_eq!(template["endpoints"].as_array().map(Vec::len), Some(2), "{template:#}");
    assert!(template["reasons"].as_u64() > Some(2), "{template:#}");
    assert_eq!(template["moved"], json!(["connected", "booted"]), "{template:#}");

    // What plays through a surrogate that is killed plays on through another, and the viewer sees nothing of it.
    let kill = &seen["kill"];
    let surrogates: BTreeSet<_> = kill["surrogates"].as_array().expect("names").iter().map(Value::as_str).collect();
    assert_eq!(surrogates.len(), 3, "the bundle's own, the one that is killed, and the one that goes on: {kill:#}");
    assert!(kill["on_s"].as_f64() >= kill["sought_s"].as_f64(), "it goes on where it was: {kill:#}");
    assert!(kill["gone"].as_str().is_some_and(|gone| !gone.contains("answers in")), "who is gone: {kill:#}");
    for when in ["before", "after"] {
        assert_eq!(kill[when]["Stalls"], "0", "{when}: {kill:#}");
    }
    assert!(kill["to_s"].as_f64() > kill["at_s"].as_f64().map(|at_s| at_s + 30.0), "beyond what was fetched: {kill:#}");
    assert_eq!((&kill["vain"], &kill["versions"]), (&json!([]), &json!(["2"])), "{kill:#}");

    // Nothing keeps people out, nothing comes from elsewhere, nothing broke.
    for what in ["barriers", "elsewhere", "errors"] {
        assert_eq!(seen[what], json!([]), "{what}: {seen:#}");
    }
}

/// Where tokens are needed a link signs in, once, in all tabs; what one may not do is not offered; no script holds the token.
#[tokio::test]
async fn people_sign_in_at_the_portal_with_links_and_see_what_they_may() {
    let bundle = Bundle::up_for_others().await;
    let title = "Seen by two";
    ingest(&bundle, &clips::path("bikes"), title, "none");
    // Only viewers with a link play it.
    let protected = ingest(&bundle, &clips::path("carphone_pristine"), "Locked", "ladder");
    assert_eq!(bundle.json(&["asset", "protect", &protected])[0]["protected"], true);
    let link = |scope: &str| {
        let made = bundle.json(&["token", "link", "--subject", scope, "--scope", scope]);
        made["url"].as_str().expect("a link").to_owned()
    };
    let (writer, reader) = (link("read,write"), link("read"));
    let other = bundle.json(&["token", "link", "--subject", "somebody", "--tenant", "other", "--scope", "read"]);
    let other = other["url"].as_str().expect("a link");
    let mut arguments = vec![bundle.router().to_owned()];
    for (name, value) in [
        ("--link", writer.as_str()),
        ("--reader", &reader),
        ("--other", other),
        ("--click", title),
        ("--protected", &protected),
    ] {
        arguments.extend([name.to_owned(), value.to_owned()]);
    }
    arguments.extend(browser::pictures());
    let seen = browser::node("signin.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("signin.mjs prints one JSON object");

    // Nothing keeps people out of the page that asks who they are, and it tells how else to sign in.
    assert_eq!(seen["barriers"], json!([]), "{seen:#}");
    let commands = seen["commands"].to_string();
    assert!(commands.contains("token link") && commands.contains("/api/router/session"), "{seen:#}");
    let signed = &seen["signed"];
    assert_eq!(signed["who"], "read,write of default", "{seen:#}");
    assert_eq!(
        (&signed["upload"], &signed["poster"], &signed["tag"]),
        (&json!(true), &json!(true), &json!("")),
        "{seen:#}"
    );
    assert_eq!((&signed["cookie"], &signed["kept"]), (&json!(""), &json!(0)), "no script can read it: {seen:#}");
    assert!(signed["address"].as_str().is_some_and(|address| !address.contains("token")), "{seen:#}");
    let cookies = json!([{ "name": "flame-session", "httpOnly": true, "sameSite": "Strict" }]);
    assert_eq!((&seen["cookies"], &seen["played"], &seen["left"]), (&cookies, &json!(true), &json!(0)), "{seen:#}");

    assert_eq!(seen["remains"], json!(0), "who signs out leaves nothing on the page: {seen:#}");

    assert_eq!(seen["uploads"], json!({ "begun": 3, "broken": 3 }), "nor sends anything more: {seen:#}");

    // Who signs in next has nothing of it, though it played in a corner.
    let next = json!({ "who": "somebody of other", "playing": 0, "library": "#/library" });
    assert_eq!(seen["next"], next, "{seen:#}");

    let reading = &seen["reading"];
    assert_eq!((&reading["tag"], &reading["poster"]), (&json!("read only"), &json!(true)), "{seen:#}");
    assert_eq!((&reading["upload"], &seen["changes"]), (&json!(false), &json!(0)), "{seen:#}");
    // Whoever may only look is troubled by nothing, and offered nothing, wherever they look.
    assert_eq!(seen["troubled"], json!([]), "{seen:#}");
    // Who may read it plays what is protected, through the surrogate and by a link of their own; another tenant and nobody get none.
    let protection = &seen["protection"];
    assert_eq!(
        (&protection["locked"], &protection["plays"], &protection["poster"]),
        (&json!(1), &json!(true), &json!(true)),
        "{seen:#}"
    );
    assert!(protection["from"].as_str().is_some_and(|from| from.starts_with("vcdn-")), "{seen:#}");
    assert_eq!((&protection["open"], &protection["refused"]), (&json!([]), &json!([])), "{seen:#}");
    assert!(protection["signed"].as_u64() > Some(3), "{seen:#}");
    let refusals = json!([403, 404, 401]);
    assert_eq!(json!([protection["plain"], protection["foreign"], protection["nobody"]]), refusals, "{seen:#}");
    assert!(seen["again"].as_str().is_some_and(|said| said.contains("used before")), "{seen:#}");
}

/// People come back from an issuer of OpenID Connect that nobody here wrote as who they are, with what their claims give them and no more.
#[tokio::test]
async fn people_sign_in_at_an_issuer_of_openid_connect() {
    let [port] = flame_test_kit::ports::free_tcp();
    let folder = Scratch::new("oidc");
    let (file, secret) = (folder.join("oidc.toml"), "a secret/of its own");
    let text = format!(
        "[oidc]\nissuer = \"http://localhost:{port}\"\nclient_id = \"flame\"\nclient_secret = \"{secret}\"\nask = [\"roles\"]\nscopes_claim = \"roles\"\n"
    );
    std::fs::write(&file, text).expect("scratch is writable");
    let bundle = Bundle::up_for_others_with(&["--oidc", file.to_str().expect("scratch is UTF-8")]).await;
    let port = port.to_string();
    let arguments = [bundle.router(), "--port", &port, "--secret", secret].map(str::to_owned);
    let seen = browser::node("oidc.mjs", arguments.to_vec()).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("oidc.mjs prints one JSON object");

    let writer = &seen["writer"];
    assert_eq!((&writer["who"], &writer["upload"]), (&json!("writer of default"), &json!(true)), "{seen:#}");
    assert_eq!(writer["called"], json!(format!("Sign in at localhost:{port}")), "{seen:#}");
    let cookies = json!([{ "name": "flame-session", "httpOnly": true, "sameSite": "Strict" }]);
    assert_eq!((&writer["cookies"], &writer["cookie"]), (&cookies, &json!("")), "no script can read it: {seen:#}");
    assert_eq!((&writer["kept"], &writer["alert"]), (&json!(0), &json!("")), "{seen:#}");
    assert!(writer["address"].as_str().is_some_and(|address| !address.contains("code")), "{seen:#}");

    let nobody = &seen["nobody"];
    assert_eq!((&nobody["who"], &nobody["cookies"]), (&json!(""), &json!([])), "{seen:#}");
    assert!(nobody["alert"].as_str().is_some_and(|alert| alert.contains("may do nothing here")), "{seen:#}");
    assert!(seen["cancelled"].as_str().is_some_and(|alert| alert.contains("signed nobody in")), "{seen:#}");
}
