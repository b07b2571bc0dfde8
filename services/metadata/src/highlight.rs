//! Where in an asset's title, file name and record the words of a search are. Pure.
//!
//! The databases say which assets are found, here it is said why: by the same cut into words ([`crate::words`]) and the same stems
//! ([`crate::stems`]), so that both databases show the same. What is given is the text as it was written, in pieces and without markup:
//! whoever shows it need not trust what people call their files.

use std::collections::BTreeSet;
use std::ops::Range;

use flame_api::metadata::{Asset, FoundIn, Highlights, Piece};
use unicode_normalization::char::is_combining_mark;

use crate::search::Search;
use crate::stems::{self, Language};
use crate::{searched, words};

/// Most texts of a record that are shown with what was found in them.
const RECORD_TEXTS_MAX: usize = 10;

/// What is sought in the texts of an asset.
#[derive(Debug, Default)]
struct Sought<'a> {
    /// The last word of the last one is a prefix.
    phrases: &'a [Vec<String>],
    /// The asset's languages.
    languages: Vec<Language>,
    /// What the words come from in those.
    stems: BTreeSet<String>,
    /// The letters that the words begin with: a word that begins with none of them has none of the stems.
    begins: BTreeSet<char>,
}

/// What a search finds in an asset.
#[must_use]
pub fn of(search: Option<&Search>, asset: &Asset) -> Highlights {
    let sought = search.map(|search| Sought::of(search, &asset.record.in_language)).unwrap_or_default();
    let found_in = |(field, text): (&'static str, &str)| {
        let pieces = pieces(&sought, text);
        pieces.iter().any(|piece| piece.hit).then(|| FoundIn { field: field.to_owned(), pieces })
    };
    let record = searched::texts(&asset.record).into_iter().filter_map(found_in).take(RECORD_TEXTS_MAX).collect();
    let file_name = asset.source.file_name.as_deref().unwrap_or_default();
    Highlights { title: pieces(&sought, &asset.title), file_name: pieces(&sought, file_name), record }
}

// === impl Sought ===

impl<'a> Sought<'a> {
    fn of(search: &'a Search, tags: &[String]) -> Self {
        let languages = stems::spoken(tags);
        let mut stems = BTreeSet::new();
        for language in &languages {
            stems.extend(search.spelt.iter().flat_map(|word| language.stems(word)));
        }
        let begins = search.spelt.iter().filter_map(|word| words::bare(word).chars().next()).collect();
        Self { phrases: &search.phrases, languages, stems, begins }
    }

    /// Whether a word of a text comes from what one of the words comes from.
    fn has_stem(&self, text: &str, word: &str) -> bool {
        if self.languages.is_empty() || !word.chars().next().is_some_and(|begin| self.begins.contains(&begin)) {
            return false;
        }
        let spelt = words::spelt(text);
        let stems = |language: &Language| spelt.iter().any(|word| !language.stems(word).is_disjoint(&self.stems));
        self.languages.iter().any(stems)
    }
}

/// `text` in pieces, those that are found marked.
fn pieces(sought: &Sought<'_>, text: &str) -> Vec<Piece> {
    let phrases = sought.phrases;
    let tokens = tokens(text);
    let mut found: Vec<bool> = tokens.iter().map(|(range, word)| sought.has_stem(&text[range.clone()], word)).collect();
    for (at, phrase) in phrases.iter().enumerate() {
        let is_last = at + 1 == phrases.len();
        for (start, window) in tokens.windows(phrase.len().max(1)).enumerate() {
            if is_phrase(phrase, window, is_last) {
                found[start..start + window.len()].fill(true);
            }
        }
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut push = |range: Range<usize>, hit: bool| {
        let Some(text) = text.get(range).filter(|text| !text.is_empty()) else { return };
        match pieces.last_mut().filter(|last| last.hit == hit) {
            Some(last) => last.text.push_str(text),
            None => pieces.push(Piece { text: text.to_owned(), hit }),
        }
    };
    let mut end = 0;
    for ((range, _), hit) in tokens.iter().zip(found) {
        push(end..range.start, false);
        push(range.clone(), hit);
        end = range.end;
    }
    push(end..text.len(), false);
    pieces
}

fn is_phrase(phrase: &[String], tokens: &[(Range<usize>, String)], is_last: bool) -> bool {
    phrase.len() == tokens.len()
        && phrase.iter().zip(tokens).enumerate().all(|(place, (wanted, (_, word)))| {
            let is_prefix = is_last && place + 1 == phrase.len();
            if is_prefix { word.starts_with(wanted.as_str()) } else { word == wanted }
        })
}

/// The words of `text` and where they are. A mark belongs to the letter before it.
fn tokens(text: &str) -> Vec<(Range<usize>, String)> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, symbol) in text.char_indices() {
        let end = at + symbol.len_utf8();
        match runs.last_mut().filter(|run| run.end == at) {
            Some(run) if symbol.is_alphanumeric() || is_combining_mark(symbol) => run.end = end,
            _ if symbol.is_alphanumeric() && !is_combining_mark(symbol) => runs.push(at..end),
            _ => {}
        }
    }
    // A run is one word, but for letters that come apart in their small or bare form: then its first stands for it.
    runs.into_iter().filter_map(|run| Some((run.clone(), words::of(&text[run]).into_iter().next()?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::{self, Wanted};

    fn phrases(typed: &str) -> Vec<Vec<String>> {
        typed.split_whitespace().map(words::of).filter(|words| !words.is_empty()).collect()
    }

    fn sought(phrases: &[Vec<String>]) -> Sought<'_> {
        Sought { phrases, ..Sought::default() }
    }

    fn marked(pieces: Vec<Piece>) -> String {
        let mark = |piece: Piece| if piece.hit { format!("[{}]", piece.text) } else { piece.text };
        pieces.into_iter().map(mark).collect()
    }

    fn shown(typed: &str, text: &str) -> String {
        marked(pieces(&sought(&phrases(typed)), text))
    }

    #[test]
    fn other_forms_of_a_word_are_marked_as_they_were_written() {
        let Ok(Wanted::Words(search)) = search::parse("acme", "HAUS ride") else { panic!("no words") };
        let shown = |tag: &str, text: &str| marked(pieces(&Sought::of(&search, &[tag.to_owned()]), text));
        assert_eq!(shown("de", "Alte Häuser, hohe Hausdächer"), "Alte [Häuser], hohe Hausdächer");
        assert_eq!(shown("en", "Riding past Häuser"), "[Riding] past Häuser");
        assert_eq!(shown("tlh", "Riding past Häuser"), "Riding past Häuser");
    }

    #[test]
    fn words_that_are_found_are_marked_and_nothing_else_is_changed() {
        assert_eq!(shown("buck bu", "Big Buck Bunny"), "Big [Buck] [Bunny]");
        assert_eq!(shown("ete", "Été à Zürich"), "[Été] à Zürich");
        assert_eq!(shown("e\u{301}te\u{301}", "L'E\u{301}te\u{301} <b>"), "L'[E\u{301}te\u{301}] <b>");
        assert_eq!(shown("dsc-00", "DSC-0042.mov"), "[DSC]-[0042].mov");
        assert_eq!(shown("dsc-00", "DSC 0099, IMG 0042"), "[DSC] [0099], IMG 0042");
        assert_eq!(shown("bun big", "Big Buck Bunny"), "[Big] Buck Bunny");
        assert_eq!(shown("", "Big"), "Big");
        assert_eq!(shown("big", ""), "");
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(typed in "\\PC{0,20}", text in "\\PC{0,60}") {
            let pieces = pieces(&sought(&phrases(&typed)), &text);
            prop_assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), text);
            prop_assert!(pieces.iter().all(|piece| !piece.text.is_empty()));
            prop_assert!(pieces.windows(2).all(|two| two[0].hit != two[1].hit));
        }

        #[test]
        fn a_word_of_a_text_is_found_in_it(before in "[a-zé ]{0,20}", word in "[a-zé]{1,8}", after in "[ a-z]{0,20}") {
            let pieces = pieces(&sought(&phrases(&word)), &format!("{before} {word} {after}"));
            prop_assert!(pieces.iter().any(|piece| piece.hit && piece.text.starts_with(&word)));
        }
    }
}
