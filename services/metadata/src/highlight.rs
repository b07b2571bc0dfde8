//! Where in an asset's title and file name the words of a search are. Pure.
//!
//! The databases say which assets are found, here it is said why: by the same cut into words ([`crate::words`]), so that both databases
//! show the same. What is given is the text in pieces and no markup: whoever shows it need not trust what people call their files.

use std::ops::Range;

use flame_api::metadata::{Asset, Highlights, Piece};
use unicode_normalization::char::is_combining_mark;

use crate::words;

/// What a search with these phrases, the last word of the last one as a prefix, finds in an asset.
#[must_use]
pub fn of(phrases: &[Vec<String>], asset: &Asset) -> Highlights {
    let file_name = asset.source.file_name.as_deref().unwrap_or_default();
    Highlights { title: pieces(phrases, &asset.title), file_name: pieces(phrases, file_name) }
}

/// `text` in pieces, those that are found marked.
fn pieces(phrases: &[Vec<String>], text: &str) -> Vec<Piece> {
    let tokens = tokens(text);
    let mut found = vec![false; tokens.len()];
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

    fn phrases(typed: &str) -> Vec<Vec<String>> {
        typed.split_whitespace().map(words::of).filter(|words| !words.is_empty()).collect()
    }

    fn shown(typed: &str, text: &str) -> String {
        let mark = |piece: Piece| if piece.hit { format!("[{}]", piece.text) } else { piece.text };
        pieces(&phrases(typed), text).into_iter().map(mark).collect()
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
            let pieces = pieces(&phrases(&typed), &text);
            prop_assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), text);
            prop_assert!(pieces.iter().all(|piece| !piece.text.is_empty()));
            prop_assert!(pieces.windows(2).all(|two| two[0].hit != two[1].hit));
        }

        #[test]
        fn a_word_of_a_text_is_found_in_it(before in "[a-zé ]{0,20}", word in "[a-zé]{1,8}", after in "[ a-z]{0,20}") {
            let pieces = pieces(&phrases(&word), &format!("{before} {word} {after}"));
            prop_assert!(pieces.iter().any(|piece| piece.hit && piece.text.starts_with(&word)));
        }
    }
}
