//! What a word of a title or a file name is: a run of letters and digits, small, without its accents. Pure.
//!
//! The same cut as SQLite's `unicode61` tokenizer with `remove_diacritics 2` makes, for the database that has none such:
//! PostgreSQL's own parser takes `big-bikes.mkv` for a host, and asks the server's locale what a letter is.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Longest word, in characters; the rest of a longer one is in no index.
pub const WORD_MAX_CHARS: usize = 128;

/// The words of `text`, in their order.
pub fn of(text: &str) -> Vec<String> {
    let bare: String = text.nfd().filter(|symbol| !is_combining_mark(*symbol)).flat_map(char::to_lowercase).collect();
    // A capital may become small with an accent of its own.
    let bare = bare.nfd().filter(|symbol| !is_combining_mark(*symbol)).collect::<String>();
    bare.split(|symbol: char| !symbol.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_MAX_CHARS).collect())
        .collect()
}

/// The words of `text` as they are spelt: small, but with their accents (NFC), as stemmers read them.
pub fn spelt(text: &str) -> Vec<String> {
    let small: String = text.nfc().flat_map(char::to_lowercase).collect();
    let small: String = small.nfc().collect();
    small
        .split(|symbol: char| !symbol.is_alphanumeric() && !is_combining_mark(symbol))
        .filter(|word| word.chars().any(|symbol| symbol.is_alphanumeric() && !is_combining_mark(symbol)))
        .map(|word| word.chars().take(WORD_MAX_CHARS).collect())
        .collect()
}

/// A spelt word, or a stem of one, without its accents: as [`of`] gives it.
pub fn bare(word: &str) -> String {
    of(word).concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_small_and_bare() {
        assert_eq!(of("Été à Zürich, DSC-0042.MOV"), ["ete", "a", "zurich", "dsc", "0042", "mov"]);
        assert_eq!(of("a\u{301}b İ"), ["ab", "i"]);
        assert_eq!(of(" -- 🎬 "), [""; 0]);
    }

    #[test]
    fn spelt_words_keep_their_accents() {
        assert_eq!(spelt("E\u{301}te\u{301} à ZÜRICH, x-1"), ["été", "à", "zürich", "x", "1"]);
        assert_eq!(spelt(" -- \u{301} 🎬"), [""; 0]);
        assert_eq!(bare("zürich"), "zurich");
    }

    proptest! {
        #[test]
        fn what_is_spelt_is_what_is_found(text in "[a-zäöüéèñçåøß A-ZÄÉ0-9,.'-]{0,60}") {
            prop_assert_eq!(spelt(&text).iter().map(|word| bare(word)).collect::<Vec<_>>(), of(&text));
        }

        #[test]
        fn a_word_is_what_its_word_is(text in "\\PC{0,60}") {
            let words = of(&text);
            prop_assert_eq!(of(&words.join(" ")), words);
        }
    }
}
