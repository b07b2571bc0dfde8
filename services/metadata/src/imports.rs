//! Whole assets that come many at once: what each line of `POST /assets/import` is, and what becomes of it. Pure; [`crate::store`] carries
//! it out.
//!
//! A line is of the asset that has its id, else of one that has one of its identifiers and the same bytes; one that the catalogue has stays
//! as it is. Not of one with the same source alone, nor the same identifier alone: two assets may have either, and each has to come back.

use std::collections::{HashMap, HashSet};

use flame_api::metadata::{
    Asset, AssetPatch, Custom, IMPORT_LINES_MAX, ImportedAsset, NewVersion, Record, Source, Version,
};
use flame_api::subtitles::{NewSubtitle, Subtitle};
use uuid::Uuid;

use crate::asset::{self, Registration};
use crate::edit::Edited;
use crate::limits::{self, Refused, SUBTITLES_MAX};
use crate::searched::{self, Searched};

/// A line that is not blank.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place in the body, from 1.
    pub number: usize,
    /// The asset, if it is one that can be stored.
    pub read: Result<Whole, Refused>,
}

/// An asset that can be stored, and what of it is searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The asset.
    pub asset: ImportedAsset,
    /// What is searched besides title and file name.
    pub searched: Searched,
}

/// What the catalogue knows of what the lines name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalogue {
    /// The assets that have the ids now, whoever owns them, also in the trash.
    pub assets: HashMap<Uuid, Asset>,
    /// Those of the ids that stood for assets that are gone for good.
    pub deleted: HashSet<Uuid>,
    /// One of the tenant's assets that have the identifier and the source (scheme, value, SHA-256 of the source).
    pub identified: HashMap<(String, String, String), Uuid>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is registered.
    New,
    /// It is of this asset, which stays as it is.
    Known(Uuid),
    /// The id stands for another source, or another tenant's asset.
    Taken,
    /// The asset lies in the trash.
    Trashed,
    /// The id stood for an asset that is gone for good.
    Deleted,
}

/// The lines of a body for `tenant`. Takes as long as its records are large.
pub fn read(tenant: &str, body: &[u8]) -> Result<Vec<Line>, Refused> {
    let lines = (1..).zip(body.split(|byte| *byte == b'\n')).map(|(number, line)| (number, line.trim_ascii()));
    let lines: Vec<(usize, &[u8])> = lines.filter(|(_, line)| !line.is_empty()).take(IMPORT_LINES_MAX + 1).collect();
    if !(1..=IMPORT_LINES_MAX).contains(&lines.len()) {
        let reason = format!("must have 1 to {IMPORT_LINES_MAX} lines, each a JSON object");
        return Err(Refused { field: "the body".to_owned(), reason });
    }
    Ok(lines.into_iter().map(|(number, line)| Line { number, read: whole(tenant, line) }).collect())
}

fn whole(tenant: &str, line: &[u8]) -> Result<Whole, Refused> {
    let asset: ImportedAsset = serde_json::from_slice(line)
        .map_err(|error| Refused { field: "the line".to_owned(), reason: format!("does not fit: {error}") })?;
    let asset = checked(tenant, asset)?;
    let searched = searched::of(&asset.title, &asset.record);
    Ok(Whole { asset, searched })
}

/// The asset as it may be stored: each part of it by the checks of the call that would bring it alone.
fn checked(tenant: &str, mut asset: ImportedAsset) -> Result<ImportedAsset, Refused> {
    limits::check_asset(tenant, &asset.registration())?;
    let registered = Edited {
        title: asset.title.clone(),
        protected: false,
        encryption: None,
        sound_labels: Vec::new(),
        record: Record::default(),
        custom: Custom::new(),
    };
    let record = serde_json::to_value(&asset.record);
    let record = record.map_err(|error| Refused { field: "record".to_owned(), reason: error.to_string() })?;
    let patch = AssetPatch {
        protected: Some(asset.protected),
        encryption: Some(asset.encryption),
        sound_labels: Some(asset.sound_labels),
        record: Some(record),
        custom: Some(asset.custom.into()),
        ..AssetPatch::default()
    };
    let Edited { sound_labels, record, custom, .. } = registered.patched(&patch)?;
    (asset.sound_labels, asset.record, asset.custom) = (sound_labels, record, custom);
    check_subtitles(tenant, asset.id, &asset.subtitles)?;
    if let Some(version) = &asset.version {
        limits::check_version_name(&version.name)?;
        limits::check_version(&new_version(version))?;
    }
    Ok(asset)
}

fn check_subtitles(tenant: &str, id: Uuid, subtitles: &[Subtitle]) -> Result<(), Refused> {
    if subtitles.len() > SUBTITLES_MAX {
        return Err(limits::too_many_subtitles());
    }
    let refused = |reason: String| Refused { field: "subtitles".to_owned(), reason };
    let mut names = HashSet::new();
    for subtitle in subtitles {
        limits::check_subtitle(tenant, id, &subtitle.id, &new_subtitle(subtitle))?;
        if !names.insert(&subtitle.id) {
            return Err(refused(format!("must have different names, and two have `{}`", subtitle.id)));
        }
    }
    if subtitles.iter().filter(|subtitle| subtitle.default).count() > 1 {
        return Err(refused("must have one `default` at most".to_owned()));
    }
    Ok(())
}

/// What publishes the version.
#[must_use]
pub fn new_version(version: &Version) -> NewVersion {
    let Version { name: _, job_id, chain, tracks, thumbnails, conditioning, created_at: _ } = version.clone();
    NewVersion { job_id, chain, tracks, thumbnails, conditioning }
}

/// What lists the subtitles.
#[must_use]
pub fn new_subtitle(subtitle: &Subtitle) -> NewSubtitle {
    let Subtitle { id: _, language, role, title, default, key, size_bytes, sha256, cues, created_at: _ } =
        subtitle.clone();
    NewSubtitle { language, role, title, default, key, size_bytes, sha256, cues }
}

/// Decides what becomes of each of `assets`, in their order, where `there` is what the catalogue knows of them.
#[must_use]
pub fn decide<'a>(
    tenant: &str,
    assets: impl IntoIterator<Item = &'a ImportedAsset>,
    mut there: Catalogue,
) -> Vec<Fate> {
    let mut new: HashMap<Uuid, &Source> = HashMap::new();
    let mut fates = Vec::new();
    for asset in assets {
        let fate = match new.get(&asset.id) {
            Some(source) if **source == asset.source => Fate::Known(asset.id),
            Some(_) => Fate::Taken,
            None => fate(tenant, asset, &there),
        };
        if fate == Fate::New {
            new.insert(asset.id, &asset.source);
            for identifier in names(asset) {
                there.identified.entry(identifier).or_insert(asset.id);
            }
        }
        fates.push(fate);
    }
    fates
}

fn fate(tenant: &str, asset: &ImportedAsset, there: &Catalogue) -> Fate {
    let existing = there.assets.get(&asset.id);
    match asset::register(existing, tenant, &asset.registration()) {
        Registration::Taken => Fate::Taken,
        Registration::Repeat if existing.is_some_and(|existing| existing.deleted_at.is_some()) => Fate::Trashed,
        Registration::Repeat => Fate::Known(asset.id),
        Registration::Create if there.deleted.contains(&asset.id) => Fate::Deleted,
        Registration::Create => {
            let other = names(asset).find_map(|identifier| there.identified.get(&identifier).copied());
            other.map_or(Fate::New, Fate::Known)
        }
    }
}

/// The identifiers of an asset: scheme and value of each, and the SHA-256 of the source that they stand for here.
pub fn names(asset: &ImportedAsset) -> impl Iterator<Item = (String, String, String)> + '_ {
    let sha256 = &asset.source.sha256;
    asset.record.identifier.iter().map(|one| (one.property_id.clone(), one.value.clone(), sha256.clone()))
}

#[cfg(test)]
mod tests;
