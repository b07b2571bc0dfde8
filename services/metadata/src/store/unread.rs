//! Words of records that were written by a release that did not search them: read and made outside of a transaction that writes, and
//! written in small ones, so that nobody waits for them.

use flame_api::metadata::Record;
use sqlx::types::Json;

use super::sql::{Sql, sql};
use super::{Store, StoreResult};
use crate::search::tsvector;
use crate::searched::{self, Searched};

/// Assets of one transaction: some milliseconds for which others wait to write.
const BATCH: i64 = 50;

#[derive(Debug, sqlx::FromRow)]
struct UnreadRow {
    seq: i64,
    tenant: String,
    title: String,
    file_name: Option<String>,
    record: Json<Record>,
    revision: i64,
}

/// What is searched of an asset as it was at a revision.
struct Made {
    seq: i64,
    revision: i64,
    searched: Searched,
    words: String,
}

// === impl Store ===

impl Store {
    /// Makes the words of some assets whose records nobody has read yet; gives how many they were. None: there are none left.
    pub async fn read_records(&self) -> StoreResult<usize> {
        // Who edits one meanwhile makes its words, and they stay; what an older service has edited meanwhile is read again.
        const WRITE: Sql = Sql {
            sqlite: "UPDATE assets SET record_words = $2, stems = $3 WHERE seq = $1 AND stems IS NULL AND revision = $5",
            postgres: "UPDATE assets SET record_words = $2, stems = $3, words = CAST($4 AS tsvector) \
                       WHERE seq = $1 AND stems IS NULL AND revision = $5",
        };
        let unread = sql("SELECT seq, tenant, title, file_name, record, revision FROM assets \
             WHERE stems IS NULL AND record <> '{}' ORDER BY seq LIMIT $1");
        let mut reading = self.database.reading().await?;
        let unread: Vec<UnreadRow> = unread.bind(BATCH).all(&mut reading).await?;
        reading.commit().await?;
        let count = unread.len();
        if count == 0 {
            return Ok(0);
        }
        // Long records have many words: they hold up neither those who write nor those who answer.
        let made = tokio::task::spawn_blocking(move || unread.into_iter().map(made).collect::<Vec<_>>()).await;
        let made = made.map_err(|_| sqlx::Error::WorkerCrashed)?;
        let mut transaction = self.database.writing().await?;
        for Made { seq, revision, searched, words } in made {
            sql(WRITE)
                .bind(seq)
                .bind(searched.record_words)
                .bind(searched.stems)
                .bind(words)
                .bind(revision)
                .run(&mut transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(count)
    }
}

fn made(row: UnreadRow) -> Made {
    let UnreadRow { seq, tenant, title, file_name, record, revision } = row;
    let searched = searched::of(&title, &record.0);
    let words = tsvector::of(&tenant, &title, file_name.as_deref(), &searched);
    Made { seq, revision, searched, words }
}
