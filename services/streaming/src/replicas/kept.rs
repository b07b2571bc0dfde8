//! Which objects are copied from site to site: those that are written once and never change (docs/storage-format.md). Pure.
//!
//! What changes (documents of live channels), and what must not be made twice (keys that media is encrypted with), stays where it is.

use std::ops::Range;

use uuid::Uuid;

/// How much of an object is asked for at once: a part of a multipart upload, and what one digest covers.
pub(crate) const BLOCK_BYTES: u64 = 8 << 20;
/// Where it is noted of which assets there are copies. No tenant's name has a dot.
pub(super) const MARKS: &str = ".replicas/";
/// Where it is noted, below the key of each object whose copy is under way in parts, which object that is.
const BEGUN: &str = ".replicas-begun/";

/// Whose copies they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) tenant: String,
    pub(crate) asset: Uuid,
}

/// The asset whose object this is, if it is one that never changes.
pub(crate) fn owner(key: &str) -> Option<Owner> {
    let pieces: Vec<&str> = key.split('/').collect();
    if pieces.iter().any(|piece| matches!(*piece, "" | "." | "..")) {
        return None;
    }
    let (tenant, asset) = match pieces[..] {
        [tenant, "sources", asset] | [tenant, "subtitles", asset, _] => (tenant, asset),
        // Not what lies beside the versions: the key of an encrypted asset.
        [tenant, "media", asset, version, _] | [tenant, "media", asset, version, _, _] if is_version(version) => {
            (tenant, asset)
        }
        _ => return None,
    };
    Some(Owner { tenant: tenant.to_owned(), asset: canonical(asset)? })
}

/// The parts of an object of `size_bytes`, numbered from 1.
pub(super) fn blocks(size_bytes: u64) -> impl Iterator<Item = (u16, Range<u64>)> {
    let numbers = 1..=u16::try_from(size_bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u16::MAX);
    numbers.map(move |number| {
        let start = u64::from(number - 1) * BLOCK_BYTES;
        (number, start..(start + BLOCK_BYTES).min(size_bytes))
    })
}

/// As what an object is kept: stores say it to whoever reads them by other ways.
pub(super) fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.') {
        Some((_, "mp4")) => "video/mp4",
        Some((_, "json")) => "application/json",
        Some((_, "jpg")) => "image/jpeg",
        Some((_, "vtt")) => "text/vtt",
        Some(_) | None => "application/octet-stream",
    }
}

/// Where it is noted which object, by its ETag, is copied in parts to this key, and by which upload.
pub(super) fn note_of(key: &str) -> String {
    format!("{BEGUN}{key}")
}

fn is_version(piece: &str) -> bool {
    piece.len() == 12 && piece.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One asset has one spelling.
fn canonical(piece: &str) -> Option<Uuid> {
    Uuid::parse_str(piece).ok().filter(|asset| asset.to_string() == piece)
}

// === impl Owner ===

impl Owner {
    /// The owner that a mark names.
    pub(super) fn of_mark(key: &str) -> Option<Self> {
        let (tenant, asset) = key.strip_prefix(MARKS)?.split_once('/')?;
        Some(Self { tenant: tenant.to_owned(), asset: canonical(asset)? })
    }

    /// Where it is noted that there are copies.
    pub(super) fn mark(&self) -> String {
        format!("{MARKS}{}/{}", self.tenant, self.asset)
    }

    /// Below these lies all that may be copied of it. Identifiers have one length, so none covers a neighbour.
    pub(super) fn prefixes(&self) -> [String; 3] {
        let Self { tenant, asset } = self;
        [
            format!("{tenant}/sources/{asset}"),
            format!("{tenant}/subtitles/{asset}/"),
            format!("{tenant}/media/{asset}/"),
        ]
    }

    /// Below this lies what was live of it. That is never copied.
    pub(super) fn live_prefix(&self) -> String {
        format!("{}/live/{}/", self.tenant, self.asset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASSET: &str = "0197a1b2-0000-7000-8000-000000000001";

    #[test]
    fn only_what_never_changes_is_copied() {
        for kept in [
            format!("acme/sources/{ASSET}"),
            format!("acme/subtitles/{ASSET}/1.vtt"),
            format!("acme/media/{ASSET}/0123456789ab/v.mp4"),
            format!("acme/media/{ASSET}/0123456789ab/v.index.json"),
            format!("acme/media/{ASSET}/0123456789ab/thumbnails/0.jpg"),
        ] {
            let owner = owner(&kept).unwrap_or_else(|| panic!("{kept} is not copied"));
            assert_eq!((owner.tenant.as_str(), owner.asset.to_string().as_str()), ("acme", ASSET));
            assert!(owner.prefixes().iter().any(|prefix| kept.starts_with(prefix)), "{kept} would stay");
        }
        for other in [
            format!("acme/media/{ASSET}/key.json"),
            format!("acme/posters/{ASSET}.jpg"),
            format!("acme/live/{ASSET}/0123456789ab/v/1.m4s"),
            format!("acme/channels/{ASSET}.json"),
            format!("acme/uploads/{ASSET}/whole"),
            format!("acme/sources/{}", ASSET.to_uppercase()),
            format!("acme/media/{ASSET}/0123456789ab/../key.json"),
            format!("acme/media/{ASSET}/0123456789ab//v.mp4"),
            format!("/sources/{ASSET}"),
            format!(".replicas/acme/{ASSET}"),
            note_of(&format!("acme/sources/{ASSET}")),
            "health".to_owned(),
            String::new(),
        ] {
            assert_eq!(owner(&other), None, "{other}");
        }
        let of_live = format!("acme/live/{ASSET}/0123456789ab/v/1.m4s");
        assert!(of_live.starts_with(&Owner { tenant: "acme".to_owned(), asset: ASSET.parse().unwrap() }.live_prefix()));
    }

    #[test]
    fn a_mark_names_its_owner() {
        let owner = Owner { tenant: "acme".to_owned(), asset: ASSET.parse().unwrap() };
        assert_eq!(Owner::of_mark(&owner.mark()), Some(owner));
        assert_eq!(Owner::of_mark(".replicas/acme"), None);
        assert_eq!(Owner::of_mark(&note_of(&format!("acme/{ASSET}"))), None);
        assert_eq!(Owner::of_mark(&format!("acme/sources/{ASSET}")), None);
    }

    proptest! {
        #[test]
        fn blocks_are_all_of_an_object_in_order(size_bytes in 0..=10_000 * BLOCK_BYTES) {
            let (mut end, mut count) = (0, 0_u16);
            for (number, range) in blocks(size_bytes) {
                count += 1;
                prop_assert_eq!((number, range.start), (count, end));
                prop_assert!(!range.is_empty() && range.end - range.start <= BLOCK_BYTES);
                // S3 takes no smaller part, but for the last one.
                prop_assert!(range.end == size_bytes || range.end - range.start == BLOCK_BYTES);
                end = range.end;
            }
            prop_assert_eq!(end, size_bytes);
            prop_assert!(count <= 10_000);
        }

        #[test]
        fn no_key_makes_it_panic(key in "[a-z0-9./-]{0,80}") {
            let _ = (owner(&key), Owner::of_mark(&key), content_type(&key));
        }
    }
}
