//! The service as its callers meet it: on a socket, with a real database; most of it through the typed client.

/// Each of these tests, on SQLite and on PostgreSQL.
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::world::On::Sqlite).await;
            })+
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if crate::world::On::Postgres.is_there() {
                    super::$test(crate::world::On::Postgres).await;
                }
            })+
        }
    };
}

#[path = "all/world.rs"]
mod world;

#[path = "all/assets.rs"]
mod assets;
#[path = "all/batch.rs"]
mod batch;
#[path = "all/changes.rs"]
mod changes;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/deletions.rs"]
mod deletions;
#[path = "all/edits.rs"]
mod edits;
#[path = "all/filters.rs"]
mod filters;
#[path = "all/imports.rs"]
mod imports;
#[path = "all/languages.rs"]
mod languages;
#[path = "all/outage.rs"]
mod outage;
#[path = "all/paging.rs"]
mod paging;
#[path = "all/provenance.rs"]
mod provenance;
#[path = "all/public.rs"]
mod public;
#[path = "all/purges.rs"]
mod purges;
#[path = "all/schema.rs"]
mod schema;
#[path = "all/scores.rs"]
mod scores;
#[path = "all/search.rs"]
mod search;
#[path = "all/sounds.rs"]
mod sounds;
#[path = "all/subtitles.rs"]
mod subtitles;
#[path = "all/tenants.rs"]
mod tenants;
#[path = "all/upgrade.rs"]
mod upgrade;
#[path = "all/versions.rs"]
mod versions;
#[path = "all/webhooks.rs"]
mod webhooks;
