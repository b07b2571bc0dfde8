//! Words as PostgreSQL keeps and asks for them (its manual, sections 8.11 and 12.3): `tsvector` and `tsquery`. Pure.
//!
//! A vector holds the title's words with weight A, the file name's with weight B, the record's with weight C, and the tenant's name
//! with weight D, so that one tenant's search never reads another's matches. Stems have weight C, too, and a colon in front, as no word
//! has. Both texts are made here, of words that hold letters and digits only: nothing that is typed has a meaning of its own.

use super::{Stems, each_language};
use crate::searched::Searched;
use crate::words;

/// Places between the last word of one text and the first of the next: no phrase reaches over it.
const GAP: usize = 100;
/// The last place that PostgreSQL tells from the next one.
const PLACE_MAX: usize = 16_383;

/// The `tsvector` of an asset.
pub fn of(tenant: &str, title: &str, file_name: Option<&str>, searched: &Searched) -> String {
    let mut vector = format!("{}:1D", tenant_lexeme(tenant));
    let titles = words::of(title);
    let names_from = titles.len() + GAP;
    let names = words::of(file_name.unwrap_or_default());
    let record_from = names_from + names.len() + GAP;
    let titles = (1..).zip(&titles).map(|(place, word)| (place, word.as_str(), 'A'));
    let names = (names_from..).zip(&names).map(|(place, word)| (place, word.as_str(), 'B'));
    let record = (record_from..).zip(searched.record_words.split_whitespace()).map(|(place, word)| (place, word, 'C'));
    for (place, word, weight) in titles.chain(names).chain(record) {
        vector.push_str(&format!(" '{word}':{}{weight}", place.min(PLACE_MAX)));
    }
    for stem in searched.stems.split_whitespace() {
        vector.push_str(&format!(" ':{stem}':1C"));
    }
    vector
}

/// The `tsquery` that finds assets of `tenant` whose title has all `phrases`, the last as a prefix; with `file_name`, those
/// that need the file name to have them.
pub(super) fn query(tenant: &str, phrases: &[Vec<String>], file_name: bool) -> String {
    let tenant = format!("{}:D", tenant_lexeme(tenant));
    let in_title = all(phrases, "A");
    if file_name {
        format!("{tenant} & {} & !({in_title})", all(phrases, "AB"))
    } else {
        format!("{tenant} & {in_title}")
    }
}

/// The `tsquery` that finds assets of `tenant` that have all `phrases`, or words of the stems that were asked for, anywhere, but not all
/// phrases in title and file name.
pub(super) fn query_anywhere(tenant: &str, phrases: &[Vec<String>], asked: &[Stems]) -> String {
    let last = phrases.len().saturating_sub(1);
    let one = |(at, (words, asked)): (usize, (&Vec<String>, &Stems))| {
        let words = phrase(words, at == last, "ABC");
        let stems = each_language(asked, |stem| format!("':{stem}':C"), " & ", " | ");
        if stems.is_empty() { words } else { format!("({words} | {stems})") }
    };
    let anywhere = phrases.iter().zip(asked).enumerate().map(one).collect::<Vec<_>>().join(" & ");
    format!("{}:D & {anywhere} & !({})", tenant_lexeme(tenant), all(phrases, "AB"))
}

fn all(phrases: &[Vec<String>], weights: &str) -> String {
    let last = phrases.len().saturating_sub(1);
    let one = |(at, words): (usize, &Vec<String>)| phrase(words, at == last, weights);
    phrases.iter().enumerate().map(one).collect::<Vec<_>>().join(" & ")
}

fn phrase(words: &[String], is_last: bool, weights: &str) -> String {
    let end = words.len().saturating_sub(1);
    let word = |(place, word): (usize, &String)| {
        let prefix = if is_last && place == end { "*" } else { "" };
        format!("'{word}':{prefix}{weights}")
    };
    format!("({})", words.iter().enumerate().map(word).collect::<Vec<_>>().join(" <-> "))
}

/// The tenant's name as a word that no text has: with a sign in front.
fn tenant_lexeme(tenant: &str) -> String {
    format!("'={}'", tenant.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_file_names_have_weights_and_places() {
        let nothing = Searched::default();
        assert_eq!(
            of("o'x", "Big Ünit", Some("a-b.mp4"), &nothing),
            "'=o''x':1D 'big':1A 'unit':2A 'a':102B 'b':103B 'mp4':104B"
        );
        assert_eq!(of("acme", "🎬", None, &nothing), "'=acme':1D");
        let searched = Searched { record_words: "by sea".to_owned(), stems: "ensea".to_owned() };
        let record = "'by':201C 'sea':202C ':ensea':1C";
        assert_eq!(of("acme", "Big", Some("🎬"), &searched), format!("'=acme':1D 'big':1A {record}"));
    }

    #[test]
    fn the_last_word_of_the_last_phrase_is_a_prefix() {
        let phrases = [vec!["big".to_owned()], vec!["dsc".to_owned(), "00".to_owned()]];
        let title = "('big':A) & ('dsc':A <-> '00':*A)";
        assert_eq!(query("acme", &phrases, false), format!("'=acme':D & {title}"));
        let both = "('big':AB) & ('dsc':AB <-> '00':*AB)";
        assert_eq!(query("acme", &phrases, true), format!("'=acme':D & {both} & !({title})"));
    }

    #[test]
    fn a_stem_stands_for_its_phrase() {
        let phrases = [vec!["bigs".to_owned()], vec!["dsc".to_owned()]];
        let stems = |stem: &str| vec![vec![std::collections::BTreeSet::from([stem.to_owned()])]];
        let found = "(('bigs':ABC) | ((':enbig':C))) & (('dsc':*ABC) | ((':endsc':C)))";
        assert_eq!(
            query_anywhere("acme", &phrases, &[stems("enbig"), stems("endsc")]),
            format!("'=acme':D & {found} & !(('bigs':AB) & ('dsc':*AB))")
        );
    }
}
