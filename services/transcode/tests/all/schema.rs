//! Which databases this release works with (it bears one migration of the next release, and no more), and how it
//! keeps them.

use flame_jobs::changes::Changes;
use flame_jobs::queue::StoreError;
use flame_test_kit::Scratch;
use flame_transcode::Config;
use flame_transcode::store::Store;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};

use crate::world::{config, store_config};

fn scratch_config(folder: &Scratch) -> Config {
    config(folder, store_config("http://127.0.0.1:1"), None)
}

async fn open(folder: &Scratch) -> Result<Store, StoreError> {
    Store::open(&scratch_config(folder), Changes::new(0)).await
}

async fn database(folder: &Scratch) -> SqliteConnection {
    SqliteConnectOptions::new().filename(scratch_config(folder).database).connect().await.unwrap()
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
    let folder = Scratch::new("transcode-schema");
    open(&folder).await.unwrap();
    let newest: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut database(&folder).await)
        .await
        .unwrap();
    add_migration(&folder, newest + 1).await;
    open(&folder).await.unwrap();
    add_migration(&folder, newest + 2).await;
    let error = open(&folder).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found, .. } if found == newest + 2), "{error}");
    assert!(error.to_string().contains("jobs.db has schema"), "{error}");
}

#[tokio::test]
async fn every_table_of_ours_has_a_tenant() {
    let folder = Scratch::new("transcode-schema");
    open(&folder).await.unwrap();
    let tables = sqlx::query(
        "SELECT t.name, count(c.name) AS tenants FROM pragma_table_list t \
         LEFT JOIN pragma_table_info(t.name) c ON c.name = 'tenant' \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name NOT LIKE '\\_%' ESCAPE '\\' GROUP BY t.name",
    )
    .fetch_all(&mut database(&folder).await)
    .await
    .unwrap();
    assert!(!tables.is_empty());
    for table in tables {
        assert_eq!(table.get::<i64, _>("tenants"), 1, "{}", table.get::<String, _>("name"));
    }
}

#[tokio::test]
async fn workers_and_lists_find_jobs_without_looking_at_all_of_them() {
    let folder = Scratch::new("transcode-schema");
    open(&folder).await.unwrap();
    for (query, index) in [
        (
            "SELECT seq FROM jobs WHERE lease_owner IS NULL AND phase IN ('queued', 'publishing') AND tenant = 'a' \
             AND due_at_us <= 1 ORDER BY priority DESC, seq LIMIT 1",
            "jobs_of_tenant_to_work",
        ),
        (
            "SELECT min(tenant) FROM jobs WHERE lease_owner IS NULL AND phase IN ('queued', 'publishing') AND tenant > 'a'",
            "jobs_of_tenant_to_work",
        ),
        (
            "SELECT count(*) FROM jobs INDEXED BY jobs_of_tenant_held WHERE tenant = 'a' AND lease_owner IS NOT NULL",
            "jobs_of_tenant_held",
        ),
        ("SELECT max(started_at_us) FROM jobs WHERE tenant = 'a'", "jobs_of_tenant_served"),
        (
            "SELECT seq FROM jobs WHERE lease_owner IS NULL AND phase IN ('failing', 'cancelling') AND due_at_us <= 1 \
             ORDER BY priority DESC, seq LIMIT 1",
            "jobs_to_close",
        ),
        ("SELECT seq FROM jobs WHERE lease_owner IS NOT NULL AND lease_until_us <= 1 LIMIT 9", "jobs_held"),
        ("SELECT seq FROM jobs WHERE tenant = 'a' AND state = 'queued' AND seq < 9 ORDER BY seq DESC", "jobs_by_state"),
        ("SELECT seq FROM jobs WHERE tenant = 'a' AND seq < 9 ORDER BY seq DESC LIMIT 5", "jobs_by_tenant"),
        (
            "SELECT made_at_us FROM outputs WHERE tenant = 'a' ORDER BY made_at_us DESC LIMIT 1 OFFSET 3",
            "outputs_of_tenant",
        ),
        ("SELECT 1 FROM outputs WHERE made_at_us <= 1 LIMIT 1", "outputs_by_age"),
        (
            "SELECT 1 FROM chunks WHERE state = 'waiting' AND wanted_until_us > 1 AND due_at_us <= 1 \
             AND lease_number - leases_before < 2 AND (lease_owner IS NULL OR lease_until_us <= 1) LIMIT 1",
            "chunks_to_make",
        ),
        (
            "SELECT count(*) FROM chunks WHERE tenant = 'a' AND lease_owner IS NOT NULL AND lease_until_us > 1",
            "chunks_of_tenant_held",
        ),
        ("SELECT what FROM outputs WHERE tenant = 'a' AND key = 'b' AND +made_at_us > 1", "PRIMARY KEY"),
    ] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&mut database(&folder).await)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        assert!(plan[0].contains(index), "{query}: {plan:?}");
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{query}: {plan:?}");
    }
}
