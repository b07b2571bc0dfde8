//! The catalogue through the command line: found by filters, counted, followed, traced back from what plays, exported and imported.

use flame_test_kit::clips;
use serde_json::Value;

use crate::world::World;

fn clip(seconds: f64) -> String {
    clips::recipe("synthetic").seconds(seconds).size(320, 180).make().to_str().unwrap().to_owned()
}

#[test]
fn an_asset_is_found_counted_and_traced_back_from_what_played() {
    let world = World::up();
    let done = world.json(&["ingest", &clip(4.0), "--title", "Sea"]);
    let id = done[0]["id"].as_str().unwrap().to_owned();
    world.json(&["asset", "edit", &id, "--set", "keywords=[\"sea\",\"wind\"]"]);

    let filter = "record.keywords = sea and version.tracks.height >= 90 and state = ready";
    assert_eq!(world.json(&["asset", "list", "--filter", filter, "--sort", "-title"])[0]["id"], id.as_str());
    assert_eq!(world.json(&["asset", "search", "se", "--filter", "record.keywords = fog"]), Value::Array(Vec::new()));
    let facets = world.json(&["asset", "list", "--facet", "state,record.keywords"]);
    assert_eq!((&facets["matches"]["count"], &facets["facets"][0]["values"][0]["value"]), (&1.into(), &"ready".into()));
    let table = world.flame(&["asset", "search", "sea", "--facet", "record.keywords"]);
    assert!(table.out.contains("of 1 assets") && table.out.contains("wind"), "{}", table.out);
    let wrong = world.flame(&["asset", "list", "--filter", "state = ready adn"]);
    assert!(wrong.status == 2 && wrong.err.contains("character 15"), "{} {}", wrong.status, wrong.err);

    let shown = world.json(&["asset", "show", &id]);
    let (version, track) =
        (shown["version"]["name"].as_str().unwrap(), shown["version"]["tracks"][0]["name"].as_str().unwrap());
    let url = format!("{}/~streaming/{id}/{version}/{track}/1.m4s", world.router);
    let found = world.json(&["asset", "provenance", &url]);
    assert_eq!((&found[0]["source"], &found[0]["versions"][0]["job_id"]), (&shown["source"], &done[0]["job"]["id"]));
    assert_eq!(found[0]["versions"][0]["tracks"].as_array().unwrap().len(), 1);
    let told = world.flame(&["asset", "provenance", &url]);
    assert!(
        told.out.contains("ladder") && told.out.contains("encoders") && told.out.contains("which plays"),
        "{}",
        told.out
    );
    let forwards = world.json(&["asset", "provenance", shown["source"]["sha256"].as_str().unwrap()]);
    assert_eq!(forwards[0]["asset_id"], id.as_str());
    assert_eq!(world.flame(&["asset", "provenance", &url.replace(version, "000000000000")]).status, 1);
    assert_eq!(world.flame(&["asset", "provenance", "nothing"]).status, 2);

    let changes = world.flame(&["asset", "changes", "--json"]);
    let actions: Vec<String> =
        changes.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].to_string()).collect();
    assert_eq!(actions, ["\"registered\"", "\"published\"", "\"edited\""]);
}

#[test]
fn an_import_makes_nothing_twice() {
    let world = World::up();
    let folder = world.scratch.path();
    std::fs::copy(clip(2.0), folder.join("one.mp4")).unwrap();
    std::fs::copy(clip(1.0), folder.join("two.mp4")).unwrap();
    let manifest = folder.join("list.csv");
    let rows = "path,title,identifier,keywords,custom\none.mp4,One,house:1,sea|wind,\"{\"\"day\"\":3}\"\n\
                two.mp4,Two,house:2,,\nmissing.mp4,Three,house:3,,\n";
    std::fs::write(&manifest, rows).unwrap();
    let import = |file: &std::path::Path, more: &[&str]| {
        let ran =
            world.flame(&[&["asset", "import", file.to_str().unwrap(), "--chain", "none", "--json"], more].concat());
        let told: Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {} {}", ran.out, ran.err));
        let count = |name: &str| told[name].as_u64().unwrap();
        (ran.status, count("created"), count("updated"), count("unchanged"), told["failed"].clone())
    };
    let (status, created, updated, unchanged, failed) = import(&manifest, &[]);
    assert_eq!((status, created, updated, unchanged), (1, 2, 0, 0), "{failed}");
    assert!(failed[0]["entry"] == 3 && failed[0]["reason"].as_str().unwrap().contains("missing.mp4"), "{failed}");
    let again = import(&manifest, &[]);
    assert_eq!((again.1, again.2, again.3), (0, 0, 2), "{}", again.4);
    std::fs::write(&manifest, rows.replace("One", "One more").replace("missing.mp4,Three,house:3,,\n", "")).unwrap();
    let edited = import(&manifest, &[]);
    assert_eq!((edited.0, edited.1, edited.2, edited.3), (0, 0, 1, 1), "{}", edited.4);

    // What is exported is imported again as it was; into an empty catalogue too, for the objects are there.
    let before = world.json(&["asset", "list", "--sort", "title"]);
    for form in ["ndjson", "jsonld", "csv"] {
        let file = folder.join(format!("all.{form}"));
        let done = world.json(&["asset", "export", "--format", form, "--output", file.to_str().unwrap()]);
        assert_eq!(done["exported"], 2);
        let back = import(&file, &[]);
        assert_eq!((back.0, back.1, back.2, back.3), (0, 0, 0, 2), "{form}: {}", back.4);
    }
    assert_eq!(world.json(&["asset", "list", "--sort", "title"]), before);
    let out = world.flame(&["asset", "export", "--filter", "custom.day = 3"]);
    assert_eq!((out.status, out.out.lines().count()), (0, 1), "{}", out.err);
    assert_eq!(serde_json::from_str::<Value>(&out.out).unwrap()["title"], "One more");
    let nothing = world.flame(&["asset", "import", "/nowhere.csv"]);
    assert_eq!(nothing.status, 2, "{}", nothing.err);
}
