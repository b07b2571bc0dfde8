//! Which databases this release works with (it bears one migration of the next release, and no more), and how it
//! keeps them.

use flame_metadata::Config;
use flame_metadata::config::Location;
use flame_metadata::store::{Store, StoreError};
use flame_test_kit::Scratch;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::world::{On, World};

/// A connection to the database behind the service's back.
enum Behind {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Behind {
    async fn open(database: &Location) -> Self {
        match database {
            Location::Sqlite(path) => Self::Sqlite(SqliteConnectOptions::new().filename(path).connect().await.unwrap()),
            Location::Postgres(url) => Self::Postgres(PgConnection::connect(url).await.unwrap()),
        }
    }

    /// The first column of all rows, as text.
    async fn ask(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                sqlx::query(sql).fetch_all(connection).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
            Self::Postgres(connection) => {
                sqlx::query(sql).fetch_all(connection).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }

    async fn add_migration(&mut self, version: i64) {
        let applied = |checksum: &str| {
            format!(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES ({version}, 'of a later release', TRUE, {checksum}, 0)"
            )
        };
        match self {
            Self::Sqlite(_) => self.ask(&applied("x'00'")).await,
            Self::Postgres(_) => self.ask(&applied("'\\x00'")).await,
        };
    }
}

async fn one_schema_ahead_works_and_two_are_refused(on: On) {
    let folder = Scratch::new("metadata-schema");
    let (database, _postgres) = on.database(&folder).await;
    let config = Config { database, ..Config::default() };
    Store::open(&config).await.unwrap();
    let mut behind = Behind::open(&config.database).await;
    let newest = behind.ask("SELECT CAST(max(version) AS TEXT) FROM _sqlx_migrations").await;
    let newest: i64 = newest[0].parse().unwrap();
    behind.add_migration(newest + 1).await;
    Store::open(&config).await.unwrap();
    behind.add_migration(newest + 2).await;
    let error = Store::open(&config).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found, .. } if found == newest + 2), "{error}");
    assert!(error.to_string().starts_with(&format!("{} has schema", config.database)), "{error}");
}

/// The numbers mean the same in both from where PostgreSQL began.
#[tokio::test]
async fn both_databases_have_one_schema_number() {
    if !On::Postgres.is_there() {
        return;
    }
    let mut numbers = Vec::new();
    for on in [On::Sqlite, On::Postgres] {
        let world = World::start(on).await;
        let mut behind = Behind::open(&world.config.database).await;
        numbers.push(behind.ask("SELECT CAST(max(version) AS TEXT) FROM _sqlx_migrations").await);
    }
    assert_eq!(numbers[0], numbers[1]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = Scratch::new("metadata-schema");
    let path = folder.join("metadata.db");
    std::fs::write(&path, "this is no database, however long it may be ".repeat(100)).unwrap();
    let config = Config { database: path.clone().into(), ..Config::default() };
    assert!(Store::open(&config).await.is_err());
    assert!(std::fs::read(&path).unwrap().starts_with(b"this is no database"), "it is left as it is");
}

async fn every_table_of_ours_has_a_tenant(on: On) {
    let world = World::start(on).await;
    let (tables, without) = match on {
        On::Sqlite => {
            let tables = "FROM pragma_table_list t LEFT JOIN pragma_table_info(t.name) c ON c.name = 'tenant' \
                 WHERE t.type IN ('table', 'virtual') AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_%' ESCAPE '\\'";
            (format!("SELECT t.name {tables}"), format!("SELECT t.name {tables} AND c.name IS NULL"))
        }
        On::Postgres => {
            let tables = "FROM information_schema.tables t LEFT JOIN information_schema.columns c \
                 ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.column_name = 'tenant' \
                 WHERE t.table_schema = 'public' AND t.table_name NOT LIKE '\\_%'";
            let name = "SELECT CAST(t.table_name AS TEXT)";
            (format!("{name} {tables}"), format!("{name} {tables} AND c.column_name IS NULL"))
        }
    };
    let mut behind = Behind::open(&world.config.database).await;
    assert!(behind.ask(&tables).await.len() >= 5);
    assert_eq!(behind.ask(&without).await, [""; 0]);
}

#[tokio::test]
async fn a_page_of_a_search_does_not_sort_all_matches() {
    let world = World::start(On::Sqlite).await;
    let Behind::Sqlite(mut connection) = Behind::open(&world.config.database).await else { panic!("a file") };
    let plan = sqlx::query(
        "EXPLAIN QUERY PLAN SELECT a.seq FROM assets_text t CROSS JOIN assets a ON a.seq = t.rowid \
         LEFT JOIN versions v ON v.seq = (SELECT max(seq) FROM versions WHERE asset_seq = a.seq) \
         WHERE t.assets_text MATCH '\"a\"*' AND t.rowid < 9 AND a.tenant = 'x' ORDER BY t.rowid DESC LIMIT 5",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(plan[0].contains("VIRTUAL TABLE") && plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:?}");
}

#[tokio::test]
async fn a_rare_word_is_found_in_postgresql_s_index_of_words() {
    if !On::Postgres.is_there() {
        return;
    }
    let world = World::start(On::Postgres).await;
    let mut behind = Behind::open(&world.config.database).await;
    behind.ask("SET enable_seqscan = off").await;
    let plan = behind
        .ask("EXPLAIN SELECT seq FROM assets WHERE words @@ CAST('''=x'':D & (''rare'':*A)' AS tsquery)")
        .await
        .join("\n");
    assert!(plan.contains("assets_words"), "{plan}");
}

on_each_database! {
    one_schema_ahead_works_and_two_are_refused,
    every_table_of_ours_has_a_tenant,
}
