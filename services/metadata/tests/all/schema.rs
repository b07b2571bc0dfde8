//! Which databases this release works with (it bears one migration of the next release, and no more), and how it
//! keeps them.

use flame_metadata::store::{Store, StoreError};
use flame_test_kit::Scratch;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use crate::world::{World, config};

async fn database(folder: &Scratch) -> SqliteConnection {
    SqliteConnectOptions::new().filename(config(folder).database).connect().await.unwrap()
}

async fn add_migration(folder: &Scratch, version: i64) {
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (?1, 'of a later release', 1, x'00', 0)",
    )
    .bind(version)
    .execute(&mut database(folder).await)
    .await
    .unwrap();
}

#[tokio::test]
async fn one_schema_ahead_works_and_two_are_refused() {
    let folder = Scratch::new("metadata-schema");
    Store::open(&config(&folder)).await.unwrap();
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut database(&folder).await)
        .await
        .unwrap();
    add_migration(&folder, newest + 1).await;
    Store::open(&config(&folder)).await.unwrap();
    add_migration(&folder, newest + 2).await;
    let error = Store::open(&config(&folder)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found, .. } if found == newest + 2), "{error}");
    assert!(error.to_string().contains("metadata.db has schema"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = Scratch::new("metadata-schema");
    let path = config(&folder).database;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "this is no database, however long it may be ".repeat(100)).unwrap();
    assert!(Store::open(&config(&folder)).await.is_err());
    assert!(std::fs::read(&path).unwrap().starts_with(b"this is no database"), "it is left as it is");
}

#[tokio::test]
async fn every_table_of_ours_has_a_tenant() {
    let world = World::start().await;
    let mut connection = database(&world.folder).await;
    let tables = sqlx::query(
        "SELECT t.name, count(c.name) AS tenants FROM pragma_table_list t \
         LEFT JOIN pragma_table_info(t.name) c ON c.name = 'tenant' \
         WHERE t.type IN ('table', 'virtual') AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_%' ESCAPE '\\' \
         GROUP BY t.name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() >= 5);
    for table in tables {
        assert_eq!(table.get::<i64, _>("tenants"), 1, "{}", table.get::<String, _>("name"));
    }
}

#[tokio::test]
async fn a_page_of_a_search_does_not_sort_all_matches() {
    let world = World::start().await;
    let plan = sqlx::query(
        "EXPLAIN QUERY PLAN SELECT a.seq FROM assets_text t CROSS JOIN assets a ON a.seq = t.rowid \
         LEFT JOIN versions v ON v.seq = (SELECT max(seq) FROM versions WHERE asset_seq = a.seq) \
         WHERE t.assets_text MATCH '\"a\"*' AND t.rowid < 9 AND a.tenant = 'x' ORDER BY t.rowid DESC LIMIT 5",
    )
    .fetch_all(&mut database(&world.folder).await)
    .await
    .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(plan[0].contains("VIRTUAL TABLE") && plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:?}");
}
