//! Databases that earlier releases wrote are brought up to date with all that they hold: from every schema that there was.

use std::path::PathBuf;
use std::time::Duration;

use flame_api::Page;
use flame_api::metadata::{Asset, ChangePage};
use flame_metadata::config::Location;
use flame_metadata::store::Store;
use flame_test_kit::{Scratch, eventually, repository};
use reqwest::Method;
use serde_json::json as value;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use uuid::Uuid;

use crate::world::{On, World, json, new_asset};

/// The files of the schema, in their order.
fn migrations(on: On) -> Vec<PathBuf> {
    let folder = match on {
        On::Sqlite => "services/metadata/migrations/sqlite",
        On::Postgres => "services/metadata/migrations/postgres",
    };
    let entries = std::fs::read_dir(repository().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What a release with that schema may have written: an asset that plays, with every column that there has been from the start.
fn written(on: On, schema: i64, id: Uuid) -> String {
    let new = new_asset("default");
    let probe = serde_json::to_string(&new.probe).unwrap();
    let (words, vector) = match on {
        On::Sqlite => ("", ""),
        On::Postgres => (", words", ", CAST('''=default'':1D ''old'':1A ''tale'':2A' AS tsvector)"),
    };
    let mut sql = format!(
        "INSERT INTO assets (id, tenant, title, state, source_key, file_name, source_size_bytes, source_sha256, probe, revision, \
         created_at_us, updated_at_us{words}) VALUES ('{id}', 'default', 'Old tale', 'ready', 'default/sources/{id}', 'old.mp4', 7, \
         '{}', '{probe}', 3, 1700000000000000, 1700000000000000{vector}); \
         INSERT INTO versions (tenant, asset_seq, name, job_id, chain, created_at_us) \
         VALUES ('default', 1, '0123456789ab', NULL, 'ladder', 1700000000000000); \
         INSERT INTO tracks (version_seq, position, tenant, name, kind, codec, width, height, duration_ms, samples, \
         average_bandwidth_bps, peak_bandwidth_bps, size_bytes) \
         VALUES (1, 0, 'default', 'v720', 'video', 'avc1.64001f', 1280, 720, 5280, 158, 1, 2, 3);",
        "ab".repeat(32)
    );
    if schema >= 3 {
        sql += " INSERT INTO subtitles (tenant, asset_seq, name, language, role, title, is_default, object_key, size_bytes, sha256, \
                cues, created_at_us) VALUES ('default', 1, '0123456789ab', 'de', 'caption', NULL, ";
        sql += if on == On::Sqlite { "0" } else { "FALSE" };
        sql += ", 'default/subtitles/x', 8, 'ab', 1, 1700000000000000);";
    }
    if schema >= 4 {
        // Since there are ids, everybody who notes a purge gives it one.
        let (id, its) = if schema >= 15 { (", id", ", '0123456789abcdef0123456789abcdef'") } else { ("", "") };
        sql += &format!(
            " INSERT INTO purges (tenant, name, tag, due_at_us{id}) VALUES ('default', 'cdn', 'gone', 1700000000000000{its});"
        );
    }
    if schema >= 9 {
        sql += " UPDATE assets SET record = '{\"keywords\":[\"sea\"],\"identifier\":[{\"propertyID\":\"house\",\"value\":\"7\"}]}';";
    }
    sql
}

async fn every_earlier_schema_is_brought_up_to_date_with_what_it_holds(on: On) {
    let files = migrations(on);
    for until in 1..files.len() {
        let folder = Scratch::new("metadata-upgrade");
        let (database, _postgres) = on.database(&folder).await;
        let schema_folder = folder.join("schema");
        std::fs::create_dir(&schema_folder).unwrap();
        for file in &files[..until] {
            std::fs::copy(file, schema_folder.join(file.file_name().unwrap())).unwrap();
        }
        let earlier = Migrator::new(schema_folder).await.unwrap();
        let schema = earlier.iter().map(|migration| migration.version).max().unwrap();
        let id = Uuid::now_v7();
        let fill = AssertSqlSafe(written(on, schema, id));
        match &database {
            Location::Sqlite(path) => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
                let mut connection = options.connect().await.unwrap();
                earlier.run(&mut connection).await.unwrap();
                sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Location::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                earlier.run(&mut connection).await.unwrap();
                sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }

        let world = World::start_with(on, |config| config.database = database).await;
        let asset = world.asset(id).await;
        assert_eq!(
            (asset.title.as_str(), asset.revision, asset.subtitles.len()),
            ("Old tale", 3, usize::from(schema >= 3))
        );
        assert_eq!(asset.version.as_ref().unwrap().tracks[0].height, Some(720), "schema {schema}");
        let mut queries = vec![
            "q=old+ta".to_owned(),
            "state=ready".to_owned(),
            format!("sha256={}", "ab".repeat(32)),
            "filter=version.tracks.height+%3D+720".to_owned(),
        ];
        if schema >= 9 {
            queries.extend(["identifier=house:7".to_owned(), "filter=record.keywords+%3D+sea".to_owned()]);
        }
        for query in queries {
            let page: Page<Asset> = json(world.get(&format!("/assets?{query}")).await, 200).await;
            assert_eq!(page.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), [id], "schema {schema}: {query}");
        }
        let purge = Store::open(&world.config).await.unwrap().next_purge(i64::MIN).await.unwrap();
        assert_eq!(purge.is_some_and(|purge| purge.id.is_some() && purge.partly == 0), schema >= 4, "schema {schema}");
        // Words of a record that was there before are made behind.
        if schema >= 9 {
            eventually(Duration::from_secs(60), || async {
                let page: Page<Asset> = json(world.get("/assets?q=sea").await, 200).await;
                if page.items.len() == 1 { Ok(()) } else { Err("the record's words are not found") }
            })
            .await;
        }
        // And it goes on as if it had always been so.
        let edit = world.request(Method::PATCH, &format!("/assets/{id}")).header("if-match", "\"3\"");
        let edited: Asset = json(edit.json(&value!({ "title": "New tale" })).send().await.unwrap(), 200).await;
        assert_eq!(edited.revision, 4);
        let feed: ChangePage = json(world.get("/changes?after=0").await, 200).await;
        assert_eq!((feed.items[0].revision, feed.position), (4, 1), "schema {schema}");
    }
}

on_each_database! {
    every_earlier_schema_is_brought_up_to_date_with_what_it_holds,
}
