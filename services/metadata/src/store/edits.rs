//! Edits of assets, and what takes edits back.

use flame_api::group;
use flame_api::metadata::{Action, Asset, AssetPatch};
use flame_service_host::IfMatch;
use uuid::Uuid;

use super::assets::{find, find_own};
use super::history::{self, By, Note};
use super::rows::encryption_word;
use super::sql::{Sql, Transaction, json, sql};
use super::{Store, StoreResult, now_us, purges};
use crate::edit::{Edited, Unreachable};
use crate::limits::Refused;
use crate::search::tsvector;
use crate::searched;

/// What became of an edit.
#[derive(Debug)]
pub enum Patched {
    /// The asset as it is now.
    Done(Box<Asset>),
    /// It would no longer fit.
    Refused(Refused),
    /// It is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is none.
    Missing,
}

/// What became of a restoration.
#[derive(Debug)]
pub enum Restored {
    /// The asset as it is now.
    Done(Box<Asset>),
    /// It cannot be had again as it was then.
    Unreachable(Unreachable),
    /// It is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is none, or it is gone for good.
    Missing,
}

// === impl Store ===

impl Store {
    /// Edits the tenant's asset, if it is as the caller saw it.
    pub async fn patch(&self, by: By<'_>, id: Uuid, seen: &IfMatch, patch: &AssetPatch) -> StoreResult<Patched> {
        let mut transaction = self.database.changing(id).await?;
        let Some((seq, current)) = find_own(&mut transaction, by.tenant, id).await? else {
            return Ok(Patched::Missing);
        };
        if !seen.allows(current.revision) {
            return Ok(Patched::Stale(current.revision));
        }
        let before = Edited::of(&current);
        let after = match before.patched(patch) {
            Ok(after) => after,
            Err(refused) => return Ok(Patched::Refused(refused)),
        };
        if after == before {
            return Ok(Patched::Done(Box::new(current)));
        }
        let note = Note { action: Action::Edited, detail: None, edited: Some((&before, &after)) };
        let asset = self.put(transaction, by, (seq, &current), note).await?;
        Ok(asset.map_or(Patched::Missing, |asset| Patched::Done(Box::new(asset))))
    }

    /// Takes the tenant's asset out of the trash; with `revision`, gives it the edited fields that it had after that.
    pub async fn restore(
        &self,
        by: By<'_>,
        id: Uuid,
        seen: Option<&IfMatch>,
        revision: Option<u64>,
    ) -> StoreResult<Restored> {
        let mut transaction = self.database.changing(id).await?;
        let found = find(&mut transaction, id).await?;
        let Some((seq, current)) = found.filter(|(_, asset)| asset.tenant == by.tenant) else {
            return Ok(Restored::Missing);
        };
        if seen.is_some_and(|seen| !seen.allows(current.revision)) {
            return Ok(Restored::Stale(current.revision));
        }
        let before = Edited::of(&current);
        let wanted = revision.unwrap_or(current.revision);
        let keep = i64::from(self.history.keep);
        let range = (wanted, current.revision.saturating_add(1));
        let changes = history::changes(&mut transaction, (by.tenant, id), range, keep).await?;
        let after = match before.before(&changes, current.revision, wanted) {
            Ok(after) => after,
            Err(unreachable) => return Ok(Restored::Unreachable(unreachable)),
        };
        if after == before && current.deleted_at.is_none() {
            return Ok(Restored::Done(Box::new(current)));
        }
        let detail = revision.map(|revision| revision.to_string());
        let note = Note { action: Action::Restored, detail: detail.as_deref(), edited: Some((&before, &after)) };
        let asset = self.put(transaction, by, (seq, &current), note).await?;
        Ok(asset.map_or(Restored::Missing, |asset| Restored::Done(Box::new(asset))))
    }

    /// Stores what was edited, as a new revision that is in no trash, with its note.
    async fn put(
        &self,
        mut transaction: Transaction,
        by: By<'_>,
        (seq, current): (i64, &Asset),
        note: Note<'_>,
    ) -> StoreResult<Option<Asset>> {
        const UPDATE: Sql = Sql {
            sqlite: "UPDATE assets SET title = $2, protected = $3, sound_labels = $4, encryption = $6, record = $8, \
                     custom = $9, deleted_at_us = NULL, revision = revision + 1, updated_at_us = $5, \
                     record_words = $10, stems = $11 WHERE seq = $1",
            postgres: "UPDATE assets SET title = $2, protected = $3, sound_labels = $4, encryption = $6, record = $8, \
                       custom = $9, deleted_at_us = NULL, revision = revision + 1, updated_at_us = $5, \
                       words = CAST($7 AS tsvector), record_words = $10, stems = $11 WHERE seq = $1",
        };
        if let Some((_, after)) = note.edited {
            let searched = searched::of(&after.title, &after.record);
            sql(UPDATE)
                .bind(seq)
                .bind(&after.title)
                .bind(after.protected)
                .bind(json(&after.sound_labels)?)
                .bind(now_us())
                .bind(after.encryption.map(encryption_word))
                .bind(tsvector::of(by.tenant, &after.title, current.source.file_name.as_deref(), &searched))
                .bind(json(&after.record)?)
                .bind(json(&after.custom)?)
                .bind(searched.record_words)
                .bind(searched.stems)
                .run(&mut transaction)
                .await?;
        }
        // Who may have its media is another question now: what surrogates keep was given by the old answer.
        let is_for_others = note.edited.is_some_and(|(before, after)| {
            (before.protected, before.encryption) != (after.protected, after.encryption)
        });
        if is_for_others {
            purges::note(&mut transaction, &self.purges, by.tenant, &group::of_asset(current.id)).await?;
        }
        history::note(&mut transaction, by, (current.id, current.revision + 1, self.keep()), note).await?;
        let put = find(&mut transaction, current.id).await?;
        self.commit(transaction).await?;
        if is_for_others {
            self.purge_noted.notify_one();
        }
        Ok(put.map(|(_, asset)| asset))
    }
}
