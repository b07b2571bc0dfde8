//! Language tags (BCP 47, RFC 5646): whether one is well-formed, and the one way to write it.
//!
//! The grammar is `oxilangtag`'s. Added here is what players compare by: the shortest code of a language (`eng` is
//! `en`), today's instead of withdrawn ones, no two extensions of a letter. It does not look subtags up in IANA's
//! register: a tag may be well-formed and name no language.

mod codes;

use oxilangtag::LanguageTag;
use thiserror::Error;

use crate::collector::Quoted;

/// Longest tag, bytes; RFC 5646 section 4.4.1 finds that 35 do.
pub const TAG_MAX_BYTES: usize = 64;

/// A tag that is none.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{tag} is no language tag ({reason}): write one as BCP 47 has it, such as en, pt-BR or zh-Hant")]
pub struct LanguageError {
    /// As it came, cut short, in quotes.
    pub tag: String,
    /// What is wrong.
    pub reason: String,
}

/// `tag` in its canonical form (RFC 5646 section 4.5): the usual case, the shortest code, extensions in order.
///
/// ```
/// assert_eq!(flame_subtitles::language::canonical("ENG-us").as_deref(), Ok("en-US"));
/// ```
///
/// # Errors
/// [`LanguageError`]: not well-formed, longer than [`TAG_MAX_BYTES`], or with something in it twice.
pub fn canonical(tag: &str) -> Result<String, LanguageError> {
    let refused = |reason: &str| LanguageError { tag: Quoted(tag).to_string(), reason: reason.to_owned() };
    if tag.len() > TAG_MAX_BYTES {
        return Err(refused("it is too long"));
    }
    // MOV and old browsers join subtags so.
    let read = LanguageTag::parse_and_normalize(&tag.replace('_', "-")).map_err(|error| refused(&error.to_string()))?;
    if let Some(preferred) = codes::instead_of_whole(read.as_str()) {
        return Ok(preferred.to_owned());
    }
    if read.as_str().starts_with("x-") || codes::is_irregular(read.as_str()) {
        return Ok(read.into_inner());
    }
    let variants: Vec<&str> = read.variant_subtags().collect();
    if variants.iter().enumerate().any(|(at, variant)| variants[..at].contains(variant)) {
        return Err(refused("a variant stands twice"));
    }
    let mut extensions: Vec<(char, &str)> = read.extension_subtags().collect();
    extensions.sort_by_key(|(letter, _)| *letter);
    if extensions.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(refused("an extension stands twice"));
    }
    // An extended language is a language by itself: zh-yue is yue.
    let mut extended = read.extended_language_subtags();
    let language = extended.next().unwrap_or(read.primary_language());
    if extended.next().is_some() {
        return Err(refused("it has more than one extended language"));
    }
    let mut canonical = codes::shortest(language).to_owned();
    let mut append = |subtag: &str| {
        canonical.push('-');
        canonical.push_str(subtag);
    };
    read.script().into_iter().chain(read.region()).chain(variants).for_each(&mut append);
    for (letter, subtags) in extensions {
        append(letter.encode_utf8(&mut [0; 4]));
        append(subtags);
    }
    read.private_use().into_iter().for_each(append);
    Ok(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_one_way_of_writing() {
        for (tag, written) in [
            ("en", "en"),
            ("EN-us", "en-US"),
            ("eng", "en"),
            ("ger", "de"),
            ("deu-AT", "de-AT"),
            ("pt_br", "pt-BR"),
            ("haw", "haw"),
            ("und", "und"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("chi-Hans", "zh-Hans"),
            ("zh-yue-HK", "yue-HK"),
            ("iw", "he"),
            ("in-ID", "id-ID"),
            ("i-klingon", "tlh"),
            ("ZH-min-nan", "nan"),
            ("i-default", "i-default"),
            ("es-419", "es-419"),
            ("sl-rozaj-biske-1994", "sl-rozaj-biske-1994"),
            ("en-u-ca-gregory-a-foo", "en-a-foo-u-ca-gregory"),
            ("de-x-House", "de-x-house"),
            ("x-whatever", "x-whatever"),
            ("en-u-ca-gregory-x-u-one", "en-u-ca-gregory-x-u-one"),
        ] {
            assert_eq!(canonical(tag).as_deref(), Ok(written), "{tag}");
            assert_eq!(canonical(written).as_deref(), Ok(written));
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        let long = format!("en-x-{}", "a-".repeat(40));
        for tag in [
            "",
            "e",
            "english language",
            "en-",
            "-en",
            "en--US",
            "en-verylongsubtag",
            "123",
            "français",
            "en-a",
            "en-a-b-a-c",
            "de-1996-1996",
            "en\n",
            "zh-yue-cmn",
            &long,
        ] {
            let refused = canonical(tag).map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|said| said.contains("is no language tag")), "{tag}: {refused:?}");
        }
    }

    #[test]
    fn every_code_is_a_language_and_none_leads_to_another() {
        for three in codes::all() {
            let two = canonical(three).unwrap();
            assert_eq!(canonical(&two).unwrap(), two, "{three}");
            assert_eq!(two.len(), 2, "{three}");
        }
        assert_eq!(codes::all().count(), 204);
    }
}
