//! What may become of an asset's subtitles: the decisions behind each change. Pure; [`crate::store`] carries them out.
//!
//! The name follows from language, role and text, so what is listed under a name that is there is the same text: it may bear
//! another title, be the default from now on, or lie under another key.

use flame_api::subtitles::{NewSubtitle, Subtitle};

use crate::limits::SUBTITLES_MAX;

/// What a listing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// It is new.
    Add,
    /// It was listed before, just so.
    Repeat,
    /// It takes the place of what has the name.
    Replace {
        /// The object that nothing names any more.
        freed_key: Option<String>,
    },
    /// The name stands for another text.
    Differs,
    /// The asset has as many as it may have.
    TooMany,
}

/// Decides a listing under `name` by an asset that has `existing`.
#[must_use]
pub fn list(existing: &[Subtitle], name: &str, new: &NewSubtitle) -> Listing {
    let Some(known) = existing.iter().find(|known| known.id == name) else {
        return if existing.len() < SUBTITLES_MAX { Listing::Add } else { Listing::TooMany };
    };
    let text = |language: &str, role, sha256: &str| (language.to_owned(), role, sha256.to_owned());
    if text(&known.language, known.role, &known.sha256) != text(&new.language, new.role, &new.sha256) {
        return Listing::Differs;
    }
    if known.title == new.title && known.default == new.default && known.key == new.key {
        return Listing::Repeat;
    }
    Listing::Replace { freed_key: (known.key != new.key).then(|| known.key.clone()) }
}

#[cfg(test)]
mod tests {
    use flame_api::subtitles::SubtitleRole;
    use time::OffsetDateTime;

    use super::*;

    fn new() -> NewSubtitle {
        NewSubtitle {
            language: "de".to_owned(),
            role: SubtitleRole::Subtitle,
            title: None,
            default: false,
            key: "one".to_owned(),
            size_bytes: 9,
            sha256: "ab".to_owned(),
            cues: 1,
        }
    }

    fn known(id: &str) -> Subtitle {
        let NewSubtitle { language, role, title, default, key, size_bytes, sha256, cues } = new();
        let created_at = OffsetDateTime::UNIX_EPOCH;
        Subtitle { id: id.to_owned(), language, role, title, default, key, size_bytes, sha256, cues, created_at }
    }

    #[test]
    fn a_name_stands_for_one_text() {
        let existing = [known("a")];
        assert_eq!(list(&existing, "b", &new()), Listing::Add);
        assert_eq!(list(&existing, "a", &new()), Listing::Repeat);
        let titled = NewSubtitle { title: Some("Deutsch".to_owned()), ..new() };
        assert_eq!(list(&existing, "a", &titled), Listing::Replace { freed_key: None });
        let moved = NewSubtitle { key: "two".to_owned(), ..new() };
        assert_eq!(list(&existing, "a", &moved), Listing::Replace { freed_key: Some("one".to_owned()) });
        for other in [
            NewSubtitle { language: "en".to_owned(), ..new() },
            NewSubtitle { role: SubtitleRole::Forced, ..new() },
            NewSubtitle { sha256: "cd".to_owned(), ..new() },
        ] {
            assert_eq!(list(&existing, "a", &other), Listing::Differs);
        }
    }

    #[test]
    fn there_is_an_end_to_them() {
        let full: Vec<Subtitle> = (0..SUBTITLES_MAX).map(|number| known(&number.to_string())).collect();
        assert_eq!(list(&full, "one more", &new()), Listing::TooMany);
        assert_eq!(list(&full, "0", &new()), Listing::Repeat);
    }
}
