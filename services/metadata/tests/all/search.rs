//! `GET /assets?q=`: full text.

use flame_api::Page;
use flame_api::metadata::{Asset, NewAsset, Piece};
use reqwest::Method;
use serde_json::json as value;

use crate::world::{On, World, json, new_asset, problem};

impl World {
    async fn titles(&self, q: &str) -> Vec<String> {
        let answer = self.request(Method::GET, "/assets").query(&[("q", q)]).send().await.unwrap();
        let page: Page<Asset> = json(answer, 200).await;
        page.items.into_iter().map(|asset| asset.title).collect()
    }

    async fn register_file(&self, title: &str, file_name: &str) -> Asset {
        let mut new = NewAsset { title: title.to_owned(), ..new_asset("default") };
        new.source.file_name = Some(file_name.to_owned());
        json(self.send(Method::POST, "/assets", &new).await, 201).await
    }
}

async fn words_are_found_in_title_and_file_name_and_the_last_is_a_prefix(on: On) {
    let world = World::start(on).await;
    world.register_file("Big Buck Bunny", "bbb_720p.mp4").await;
    world.register_file("Été à Zürich", "DSC-0042.mov").await;
    world.register_file("Ride", "big-bikes.mkv").await;
    let cases: [(&str, &[&str]); 13] = [
        ("bunny", &["Big Buck Bunny"]),
        ("BUCK bu", &["Big Buck Bunny"]),
        ("bun big", &[]),
        ("b", &["Big Buck Bunny", "Ride"]),
        ("big", &["Big Buck Bunny", "Ride"]),
        ("ete zur", &["Été à Zürich"]),
        ("été", &["Été à Zürich"]),
        ("0042", &["Été à Zürich"]),
        ("dsc-00", &["Été à Zürich"]),
        ("ride bikes", &["Ride"]),
        ("bikes.mkv", &["Ride"]),
        ("buck ride", &[]),
        (" ", &["Ride", "Été à Zürich", "Big Buck Bunny"]),
    ];
    for (q, titles) in cases {
        assert_eq!(world.titles(q).await, titles, "{q}");
    }
}

async fn titles_come_before_file_names_over_all_pages(on: On) {
    let world = World::start(on).await;
    let mut expected = Vec::new();
    for number in 0..6 {
        let asset = if number % 2 == 0 {
            world.register_file(&format!("sea {number}"), "x.mp4").await
        } else {
            world.register_file(&format!("x {number}"), "sea.mp4").await
        };
        expected.push((number % 2, std::cmp::Reverse(number), asset.id));
    }
    expected.sort_unstable();
    let expected: Vec<_> = expected.into_iter().map(|(_, _, id)| id).collect();
    for limit in 1..=7 {
        let seen: Vec<_> = world.walk("&q=sea", limit, async || {}).await.iter().map(|asset| asset.id).collect();
        assert_eq!(seen, expected, "pages of {limit}");
    }
}

async fn what_is_typed_is_only_text(on: On) {
    let world = World::start(on).await;
    world.register_file("plain AND simple", "x.mp4").await;
    let hostile = [
        "\"",
        "\"\"\"",
        "'",
        "*",
        "**",
        "a*",
        "plain*",
        "^plain",
        "title:plain",
        "{title}: plain",
        "tenant : other",
        "(plain",
        "plain)",
        "plain OR",
        "NOT plain",
        "plain NEAR(simple, 1)",
        "NEAR/2",
        "+",
        "a + b",
        "-plain",
        "🎬",
        "🎬 plain 🎬",
        "\u{0}",
        "plain\u{0}simple",
        "\u{202e}nialp",
        "'; DROP TABLE assets; --",
        "%",
        "_",
        "\\",
        "𞤀𞤁",
        "ﷺ",
        "a\u{301}",
        "\u{fffd}\u{ffff}",
    ];
    for q in hostile {
        let titles = world.titles(q).await;
        assert!(titles.len() <= 1, "{q:?}");
    }
    for found in ["and", "plain AND", "AND simple", "\"plain\"", "🎬 plain", "plain\u{0}simple", "plain*", "-plain"] {
        assert_eq!(world.titles(found).await, ["plain AND simple"], "{found:?}");
    }
    for missed in ["plain OR simple", "NOT plain", "title:plain", "tenant", "default", "🎬"] {
        assert_eq!(world.titles(missed).await, [""; 0], "{missed:?}");
    }
    for long in ["a".repeat(201), "a ".repeat(17)] {
        let answer = world.request(Method::GET, "/assets").query(&[("q", long)]).send().await.unwrap();
        assert!(problem(answer, 422, "unprocessable").await.contains("`q`"));
    }
}

async fn an_edited_title_is_found_and_the_old_one_and_a_deleted_asset_are_not(on: On) {
    let world = World::start(on).await;
    let asset = world.register("Sunrise").await;
    let path = format!("/assets/{}", asset.id);
    let patch = world.request(Method::PATCH, &path).header("if-match", "*").json(&value!({ "title": "Sunset" }));
    let _: Asset = json(patch.send().await.unwrap(), 200).await;
    assert_eq!(world.titles("sunset").await, ["Sunset"]);
    assert_eq!(world.titles("sunrise").await, [""; 0]);
    world.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(world.titles("sunset").await, [""; 0]);
}

async fn what_was_found_is_marked_in_title_and_file_name(on: On) {
    let world = World::start(on).await;
    world.register_file("Été <b>à</b> Zürich", "DSC-0042.mov").await;
    world.register_file("Ride", "big-bikes.mkv").await;
    let marked = async |query: &[(&str, &str)]| {
        let answer = world.request(Method::GET, "/assets").query(query).send().await.unwrap();
        let page: Page<Asset> = json(answer, 200).await;
        let text = |pieces: Vec<Piece>| {
            pieces
                .into_iter()
                .map(|piece| if piece.hit { format!("[{}]", piece.text) } else { piece.text })
                .collect::<String>()
        };
        let both = page.items.into_iter().map(|asset| asset.highlights.map(|it| (text(it.title), text(it.file_name))));
        both.collect::<Vec<Option<(String, String)>>>()
    };
    let pair = |title: &str, file_name: &str| Some((title.to_owned(), file_name.to_owned()));
    let found = marked(&[("q", "ete dsc-00"), ("highlight", "true")]).await;
    assert_eq!(found, [pair("[Été] <b>à</b> Zürich", "[DSC]-[0042].mov")]);
    let found = marked(&[("q", "bikes"), ("highlight", "true"), ("filter", "title = Ride")]).await;
    assert_eq!(found, [pair("Ride", "big-[bikes].mkv")]);
    let found = marked(&[("q", "ri"), ("highlight", "true"), ("sort", "title")]).await;
    assert_eq!(found, [pair("[Ride]", "big-bikes.mkv")]);
    // Nobody asked, or for nothing.
    assert_eq!(marked(&[("q", "bikes")]).await, [None]);
    assert_eq!(marked(&[("highlight", "true"), ("limit", "1")]).await, [pair("Ride", "big-bikes.mkv")]);
}

on_each_database! {
    what_was_found_is_marked_in_title_and_file_name,
    words_are_found_in_title_and_file_name_and_the_last_is_a_prefix,
    titles_come_before_file_names_over_all_pages,
    what_is_typed_is_only_text,
    an_edited_title_is_found_and_the_old_one_and_a_deleted_asset_are_not,
}
