//! Words of records that were written by a release that did not search them: made in small transactions, so that nobody waits for them.

use flame_api::metadata::Record;
use sqlx::types::Json;

use super::sql::{Sql, sql};
use super::{Store, StoreResult};
use crate::search::tsvector;
use crate::searched;

/// Assets of one transaction: some ten milliseconds for which others wait to write.
const BATCH: i64 = 50;

#[derive(Debug, sqlx::FromRow)]
struct UnreadRow {
    seq: i64,
    tenant: String,
    title: String,
    file_name: Option<String>,
    record: Json<Record>,
}

// === impl Store ===

impl Store {
    /// Makes the words of some assets whose records nobody has read yet; gives how many they were. None: there are none left.
    pub async fn read_records(&self) -> StoreResult<usize> {
        // Who edits one meanwhile makes its words, and they stay.
        const WRITE: Sql = Sql {
            sqlite: "UPDATE assets SET record_words = $2, stems = $3 WHERE seq = $1 AND stems IS NULL",
            postgres: "UPDATE assets SET record_words = $2, stems = $3, words = CAST($4 AS tsvector) \
                       WHERE seq = $1 AND stems IS NULL",
        };
        let mut transaction = self.database.writing().await?;
        let unread = sql("SELECT seq, tenant, title, file_name, record FROM assets \
             WHERE stems IS NULL AND record <> '{}' ORDER BY seq LIMIT $1");
        let unread: Vec<UnreadRow> = unread.bind(BATCH).all(&mut transaction).await?;
        let count = unread.len();
        for UnreadRow { seq, tenant, title, file_name, record } in unread {
            let searched = searched::of(&title, &record.0);
            let words = tsvector::of(&tenant, &title, file_name.as_deref(), &searched);
            sql(WRITE)
                .bind(seq)
                .bind(searched.record_words)
                .bind(searched.stems)
                .bind(words)
                .run(&mut transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(count)
    }
}
