//! The name of the version that a job makes, and the keys under which its parts lie in the object store. Pure.
//!
//! Both follow from the job alone, so that every attempt writes to the same place, and whoever cleans up knows where
//! to look.

use flame_api::media::{Thumbnails, Track};
use flame_api::metadata::Conditioning;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Hexadecimal digits of a version's name.
const NAME_DIGITS: usize = 12;

/// What a version consists of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Made {
    /// Its tracks.
    pub tracks: Vec<Track>,
    /// Its thumbnails, if it has any.
    pub thumbnails: Option<Thumbnails>,
    /// How it was made.
    pub conditioning: Option<Conditioning>,
}

/// The name of the version that the job `id` makes.
#[must_use]
pub fn of_job(id: Uuid) -> String {
    let mut name = hex::encode(Sha256::digest(id.as_bytes()));
    name.truncate(NAME_DIGITS);
    name
}

/// What the keys of all objects of a version begin with.
#[must_use]
pub fn prefix(tenant: &str, asset_id: Uuid, version: &str) -> String {
    format!("{tenant}/media/{asset_id}/{version}/")
}

/// File name of a track's media, in the store and on the way there.
#[must_use]
pub fn media_name(track: &str) -> String {
    format!("{track}.mp4")
}

/// File name of a sheet of thumbnails.
#[must_use]
pub fn sheet_name(number: u32) -> String {
    format!("thumbnails/{number}.jpg")
}

/// File name of a track's index.
#[must_use]
pub fn index_name(track: &str) -> String {
    format!("{track}.index.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_always_makes_the_same_version() {
        let name = of_job(Uuid::nil());
        // The first digits of SHA-256 over 16 zero bytes.
        assert_eq!(name, "374708fff771");
        assert_ne!(name, of_job(Uuid::max()));
        assert_eq!(prefix("acme", Uuid::nil(), &name), format!("acme/media/{}/{name}/", Uuid::nil()));
    }
}
