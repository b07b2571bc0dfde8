//! Templates by the commands that the portal shows: each is run in a shell as it stands there, and the page shows what came of it.

use flame_media_tests::players::browser;
use flame_test_kit::programs::program;
use flame_test_kit::{Bundle, Scratch};
use serde_json::{Value, json};

#[tokio::test]
async fn a_template_is_looked_at_planned_deployed_moved_and_taken_away_as_the_page_says() {
    let bundle = Bundle::up().await;
    let folder = Scratch::new("portal-templates");
    let flame = program("flame");
    let paths = [flame.as_path(), folder.path()].map(|path| path.to_str().expect("the path is UTF-8").to_owned());
    let [flame, folder_path] = paths;
    let mut arguments = vec![bundle.router().to_owned()];
    for (name, value) in [("--flame", flame), ("--folder", folder_path)] {
        arguments.extend([name.to_owned(), value]);
    }
    arguments.extend(browser::pictures());
    let seen = browser::node("templates.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("templates.mjs prints one JSON object");

    // What is mistyped is said with the same line on the page, by both commands and by the request.
    let wrong = &seen["wrong"];
    let line = wrong["line"].as_u64().unwrap_or_else(|| panic!("no line: {wrong:#}"));
    let said = |of: &Value| of["said"].as_str().unwrap_or_else(|| panic!("nothing said: {seen:#}")).to_owned();
    for command in ["validate", "plan"] {
        assert_eq!(wrong[command]["status"], 2, "{command}: {wrong:#}");
        let text = said(&wrong[command]);
        assert!(text.contains(&format!("template.yaml:{line}:")) && text.contains("`image`"), "{command}: {wrong:#}");
    }
    assert_ne!(wrong["request"]["status"], 0, "{wrong:#}");
    assert!(said(&wrong["request"]).contains(&format!("line {line}, column ")), "{wrong:#}");

    let looked = &seen["looked"];
    for (what, has) in [("validate", "2 functions"), ("plan", "second"), ("request", "\"places\"")] {
        assert_eq!(looked[what]["status"], 0, "{what}: {looked:#}");
        assert!(said(&looked[what]).contains(has), "{what}: {looked:#}");
    }

    // Deployed, put aside, connected and taken away; each state is seen before the next command.
    for by in ["byFlame", "byRequest"] {
        let life = &seen[by];
        assert_eq!(life["states"], json!(["connected", "booted", "connected"]), "{by}: {life:#}");
        assert_eq!(life["statuses"], json!([0, 0, 0, 0, 0, 0]), "{by}: {life:#}");
        assert_eq!(life["gone"], true, "{by}: {life:#}");
        let reasons = life["reasons"].as_str().expect("a text");
        assert!(reasons.contains("first"), "{by}: {life:#}");
        assert!(life["status"].as_str().is_some_and(|status| status.contains("edge-standby")), "{by}: {life:#}");
    }
    assert_eq!((&seen["gone"], &seen["errors"]), (&json!(true), &json!([])), "{seen:#}");
    let left = bundle.json(&["template", "status"]);
    assert_eq!(left, json!([]), "nothing of it is left");
}
