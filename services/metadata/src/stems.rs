//! What words come from, by the language that they are of: who looks for *ride* finds *riding*, and *Häuser* is found by *Haus*. Pure.
//!
//! The stemmers are those of Snowball (<https://snowballstem.org/algorithms/>, MIT and BSD). They run here, when an asset is stored and when
//! words are asked for, and in no database: so SQLite and PostgreSQL keep the same stems and find the same. A stem bears the code of its
//! language in front, for what an asset's words come from depends on *its* languages (`record.inLanguage`), and nobody who types says one.
//!
//! Stemmers know words with their accents, and people leave accents out. So a word with accents has two stems: that of the word, and that
//! of what is left without them; neither has accents itself.

use std::collections::BTreeSet;

use rust_stemmers::{Algorithm, Stemmer};

use crate::words;

/// Most languages of an asset whose stems are kept; of more, the first.
pub const LANGUAGES_MAX: usize = 3;
/// Longest word that has another stem than itself, characters.
pub const STEMMED_MAX_CHARS: usize = 40;

/// Those whose words begin as their stems do (Arabic's do not), and whose letters both databases take for letters (Tamil's are not).
static LANGUAGES: [Language; 16] = [
    Language { code: "da", algorithm: Algorithm::Danish },
    Language { code: "de", algorithm: Algorithm::German },
    Language { code: "el", algorithm: Algorithm::Greek },
    Language { code: "en", algorithm: Algorithm::English },
    Language { code: "es", algorithm: Algorithm::Spanish },
    Language { code: "fi", algorithm: Algorithm::Finnish },
    Language { code: "fr", algorithm: Algorithm::French },
    Language { code: "hu", algorithm: Algorithm::Hungarian },
    Language { code: "it", algorithm: Algorithm::Italian },
    Language { code: "nl", algorithm: Algorithm::Dutch },
    Language { code: "no", algorithm: Algorithm::Norwegian },
    Language { code: "pt", algorithm: Algorithm::Portuguese },
    Language { code: "ro", algorithm: Algorithm::Romanian },
    Language { code: "ru", algorithm: Algorithm::Russian },
    Language { code: "sv", algorithm: Algorithm::Swedish },
    Language { code: "tr", algorithm: Algorithm::Turkish },
];

/// A language whose words have stems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// Two letters (ISO 639-1).
    code: &'static str,
    algorithm: Algorithm,
}

// === impl Language ===

impl Language {
    /// The stems of a word ([`words::spelt`]), each behind the language's code; at most two.
    pub fn stems(self, spelt: &str) -> BTreeSet<String> {
        let bare = words::bare(spelt);
        let mut stems = BTreeSet::from([words::bare(&self.stem(spelt))]);
        if bare != spelt {
            stems.insert(words::bare(&self.stem(&bare)));
        }
        stems.into_iter().filter(|stem| !stem.is_empty()).map(|stem| format!("{}{stem}", self.code)).collect()
    }

    fn stem(self, word: &str) -> String {
        if word.chars().count() > STEMMED_MAX_CHARS || !word.chars().all(char::is_alphabetic) {
            return word.to_owned();
        }
        // The stemmers are generated, and index into what anybody may have typed: a word that one falls over is its own stem.
        std::panic::catch_unwind(|| Stemmer::create(self.algorithm).stem(word).into_owned())
            .unwrap_or_else(|_| word.to_owned())
    }
}

/// The languages of these tags (BCP 47) whose words have stems, the first [`LANGUAGES_MAX`].
pub fn spoken(tags: &[String]) -> Vec<Language> {
    let mut spoken: Vec<Language> = Vec::new();
    for tag in tags {
        let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let code = match primary.as_str() {
            // Both ways to write Norwegian.
            "nb" | "nn" => "no",
            other => other,
        };
        let known = LANGUAGES.iter().find(|language| language.code == code);
        spoken.extend(known.filter(|language| !spoken.contains(language)).copied());
    }
    spoken.truncate(LANGUAGES_MAX);
    spoken
}

/// What an asset may have instead of these words: for each language, for each word, its stems.
pub fn asked(spelt: &[String]) -> Vec<Vec<BTreeSet<String>>> {
    if spelt.is_empty() {
        return Vec::new();
    }
    LANGUAGES.iter().map(|language| spelt.iter().map(|word| language.stems(word)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn language(tag: &str) -> Language {
        spoken(&[tag.to_owned()])[0]
    }

    #[test]
    fn words_of_one_stem_meet_with_and_without_their_accents() {
        for (tag, one, other) in [
            ("en", "riding", "rides"),
            ("en-GB", "harbour", "harbours"),
            ("de", "häuser", "haus"),
            ("de", "hauser", "haus"),
            ("de-CH", "häfen", "hafen"),
            ("fr", "chevaux", "cheval"),
            ("fr", "élèves", "eleve"),
            ("es", "canción", "cancion"),
            ("nb", "havnene", "havn"),
            ("ru", "книги", "книга"),
        ] {
            let language = language(tag);
            assert!(!language.stems(one).is_disjoint(&language.stems(other)), "{tag}: {one} {other}");
        }
        assert!(language("en").stems("bike").is_disjoint(&language("en").stems("boat")));
        assert!(language("en").stems("bike").is_disjoint(&language("de").stems("bike")));
    }

    #[test]
    fn languages_are_told_by_their_first_subtag_and_bounded() {
        let tags = |tags: &[&str]| spoken(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        let codes = |found: Vec<Language>| found.into_iter().map(|language| language.code).collect::<Vec<_>>();
        assert_eq!(codes(tags(&["en-GB", "EN", "nn", "no", "tlh", "de-CH", "fr"])), ["en", "no", "de"]);
        assert_eq!(codes(tags(&["", "zh-Hant", "x-own"])), [""; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_word_has_a_stem_that_is_bare(
            word in "\\p{L}{1,45}|[a-zäöüéèêçñåøæß]{1,20}|[а-я]{1,12}|[α-ώ]{1,12}",
        ) {
            for spelt in words::spelt(&word) {
                for language in LANGUAGES {
                    let stems = language.stems(&spelt);
                    prop_assert!(stems.len() <= 2);
                    for stem in &stems {
                        let stem = stem.strip_prefix(language.code).unwrap();
                        prop_assert!(!stem.is_empty() && words::bare(stem) == stem, "{}: {spelt}", language.code);
                    }
                }
            }
        }
    }
}
