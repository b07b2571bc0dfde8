//! `GET /assets?q=`: words of records, and their other forms by the record's languages.

use flame_api::Page;
use flame_api::metadata::{Asset, Highlights, Piece};
use flame_metadata::config::Location;
use flame_metadata::store::Store;
use reqwest::Method;
use serde_json::{Value, json as value};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::world::{On, World, json};

impl World {
    /// Registers an asset, and says of it what stands in `record`.
    async fn described(&self, title: &str, record: Value) -> Asset {
        let asset = self.register(title).await;
        self.described_anew(&asset, record).await
    }

    async fn described_anew(&self, asset: &Asset, record: Value) -> Asset {
        let path = format!("/assets/{}", asset.id);
        let patch = self.request(Method::PATCH, &path).header("if-match", "*").json(&value!({ "record": record }));
        json(patch.send().await.unwrap(), 200).await
    }

    async fn found_assets(&self, query: &[(&str, &str)]) -> Vec<Asset> {
        let answer = self.request(Method::GET, "/assets").query(query).send().await.unwrap();
        let page: Page<Asset> = json(answer, 200).await;
        page.items
    }

    async fn titles_with(&self, q: &str) -> Vec<String> {
        self.found_assets(&[("q", q)]).await.into_iter().map(|asset| asset.title).collect()
    }
}

fn marked(pieces: &[Piece]) -> String {
    let mark = |piece: &Piece| if piece.hit { format!("[{}]", piece.text) } else { piece.text.clone() };
    pieces.iter().map(mark).collect()
}

async fn words_of_a_record_are_found_behind_those_of_titles_and_file_names(on: On) {
    let world = World::start(on).await;
    let people = value!({ "actor": [{ "name": "Ada Lovelace", "roleName": "Engineer" }] });
    world.described("Portrait", people).await;
    let place = value!({ "locationCreated": { "name": "Millennium Square", "address": "Bristol" } });
    world.described("Crowd", place).await;
    world.described("Talk", value!({ "hasPart": [{ "name": "Fragen", "startOffset": 5.0 }] })).await;
    world.described("Harbour", value!({ "keywords": ["Café"], "description": "By the sea, at dawn." })).await;
    world.register("Sea").await;
    let cases: [(&str, &[&str]); 10] = [
        ("lovelace", &["Portrait"]),
        ("engineer ada", &["Portrait"]),
        ("millennium bri", &["Crowd"]),
        ("fragen", &["Talk"]),
        ("cafe", &["Harbour"]),
        ("harbour dawn", &["Harbour"]),
        ("clip harbour sea", &["Harbour"]),
        // Whose title has it comes first, and none twice.
        ("sea", &["Sea", "Harbour"]),
        ("sea lovelace", &[]),
        ("seas", &[]),
    ];
    for (q, titles) in cases {
        assert_eq!(world.titles_with(q).await, titles, "{q}");
    }
    // The same under a filter and in another order, and in counts.
    let filtered = world.found_assets(&[("q", "sea"), ("filter", "record.keywords = \"Café\"")]).await;
    assert_eq!(filtered.iter().map(|asset| asset.title.as_str()).collect::<Vec<_>>(), ["Harbour"]);
    let sorted = world.found_assets(&[("q", "sea"), ("sort", "title")]).await;
    assert_eq!(sorted.iter().map(|asset| asset.title.as_str()).collect::<Vec<_>>(), ["Harbour", "Sea"]);
    for limit in 1..=3 {
        assert_eq!(world.walk("&q=sea", limit, async || {}).await.len(), 2, "pages of {limit}");
    }
}

async fn other_forms_of_a_word_are_found_in_the_languages_of_the_record(on: On) {
    let world = World::start(on).await;
    let german = value!({ "inLanguage": ["de-CH"], "description": "Zwei alte Häuser" });
    world.described("Altstadt", german).await;
    let english = value!({ "inLanguage": ["en"], "keywords": ["harbours"] });
    world.described("Riding", english).await;
    world.described("Étude", value!({ "inLanguage": ["fr"], "description": "Les chevaux" })).await;
    world.described("Untold", value!({ "description": "harbours, Häuser, chevaux" })).await;
    let cases: [(&str, &[&str]); 9] = [
        // Not the last: that one is a prefix.
        ("Haus clip", &["Altstadt"]),
        ("häuser", &["Untold", "Altstadt"]),
        ("hauser", &["Untold", "Altstadt"]),
        // Of the title, too.
        ("rides", &["Riding"]),
        ("ridden harbour", &[]),
        ("harbour rides", &["Riding"]),
        ("cheval", &["Étude"]),
        ("études chevaux", &["Étude"]),
        ("etudes cheval", &["Étude"]),
    ];
    for (q, titles) in cases {
        assert_eq!(world.titles_with(q).await, titles, "{q}");
    }
}

async fn what_is_said_anew_is_found_and_what_was_said_before_is_not(on: On) {
    let world = World::start(on).await;
    let asset = world.described("Clip", value!({ "inLanguage": ["en"], "keywords": ["boats"] })).await;
    assert_eq!(world.titles_with("boat").await, ["Clip"]);
    world.described_anew(&asset, value!({ "keywords": ["bicycles"] })).await;
    assert_eq!(world.titles_with("boats").await, [""; 0]);
    assert_eq!(world.titles_with("bicycling").await, ["Clip"]);
    world.described_anew(&asset, value!({ "inLanguage": null })).await;
    assert_eq!(world.titles_with("bicycling").await, [""; 0], "it has no language any more");
    assert_eq!(world.titles_with("bicycles").await, ["Clip"]);
}

async fn what_was_found_in_a_record_is_marked_as_it_was_written(on: On) {
    let world = World::start(on).await;
    let record = value!({
        "inLanguage": ["de"],
        "description": "Zwei alte Häuser <b>am Hafen</b>",
        "keywords": ["Stadt", "Haus"],
    });
    world.described("Altes Haus", record).await;
    let found = world.found_assets(&[("q", "alte hafen häuser"), ("highlight", "true")]).await;
    let highlights: &Highlights = found[0].highlights.as_ref().unwrap();
    assert_eq!(marked(&highlights.title), "[Altes] [Haus]");
    let texts: Vec<(&str, String)> =
        highlights.record.iter().map(|found| (found.field.as_str(), marked(&found.pieces))).collect();
    let description = "Zwei [alte] [Häuser] <b>am [Hafen]</b>".to_owned();
    assert_eq!(texts, [("description", description), ("keywords", "[Haus]".to_owned())]);
}

/// While services are upgraded one by one, one that does not know the columns writes beside one that does.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_service_edits_on_postgresql_is_read_again() {
    if !On::Postgres.is_there() {
        return;
    }
    let world = World::start(On::Postgres).await;
    let tale = world.described("Old tale", value!({ "description": "By the sea" })).await;
    let Location::Postgres(url) = &world.config.database else { panic!("{:?}", world.config.database) };
    let mut behind = PgConnection::connect(url).await.unwrap();

    // What this release edits stays read, also where a longer title moves the words of the record.
    let path = format!("/assets/{}", tale.id);
    let patch = world.request(Method::PATCH, &path).header("if-match", "*");
    let _: Asset = json(patch.json(&value!({ "title": "A much longer old tale" })).send().await.unwrap(), 200).await;
    let unread = "SELECT count(*) FROM assets WHERE stems IS NULL AND record <> '{}'";
    let (count,): (i64,) = sqlx::query_as(unread).fetch_one(&mut behind).await.unwrap();
    assert_eq!(count, 0);
    assert_eq!(world.titles_with("sea").await, ["A much longer old tale"]);

    let wordless = world.described("Bare", value!({ "license": "https://example.org/licence" })).await;
    let store = Store::open(&world.config).await.unwrap();
    while store.read_records().await.unwrap() > 0 {}
    for (asset, title, description) in [(&tale, "tale", "In the mountains"), (&wordless, "bare", "At the harbour")] {
        let update = "UPDATE assets SET title = $2, record = CAST($3 AS jsonb), words = CAST($4 AS tsvector), \
                      revision = revision + 1 WHERE id = $1";
        let update = sqlx::query(update).bind(asset.id.to_string()).bind(title);
        let update = update.bind(value!({ "description": description }).to_string());
        let done = update.bind(format!("'=default':1D '{title}':1A")).execute(&mut behind).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
    while store.read_records().await.unwrap() > 0 {}
    assert_eq!(world.titles_with("mountains").await, ["tale"]);
    assert_eq!(world.titles_with("harbour").await, ["bare"]);
    assert!(world.titles_with("sea").await.is_empty());
}

on_each_database! {
    words_of_a_record_are_found_behind_those_of_titles_and_file_names,
    other_forms_of_a_word_are_found_in_the_languages_of_the_record,
    what_is_said_anew_is_found_and_what_was_said_before_is_not,
    what_was_found_in_a_record_is_marked_as_it_was_written,
}
