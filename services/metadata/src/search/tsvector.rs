//! Words as PostgreSQL keeps and asks for them (its manual, sections 8.11 and 12.3): `tsvector` and `tsquery`. Pure.
//!
//! A vector holds the title's words with weight A, the file name's with weight B, and the tenant's name with weight D, so
//! that one tenant's search never reads another's matches. Both texts are made here, of words that hold letters and digits
//! only: nothing that is typed has a meaning of its own.

use crate::words;

/// Places between the title's last word and the file name's first: no phrase reaches over it.
const GAP: usize = 100;
/// The last place that PostgreSQL tells from the next one.
const PLACE_MAX: usize = 16_383;

/// The `tsvector` of an asset.
pub fn of(tenant: &str, title: &str, file_name: Option<&str>) -> String {
    let mut vector = format!("{}:1D", tenant_lexeme(tenant));
    let titles = words::of(title);
    let names_from = titles.len() + GAP;
    let names = words::of(file_name.unwrap_or_default());
    let titles = (1..).zip(&titles).map(|(place, word)| (place, word, 'A'));
    let names = (names_from..).zip(&names).map(|(place, word)| (place, word, 'B'));
    for (place, word, weight) in titles.chain(names) {
        vector.push_str(&format!(" '{word}':{}{weight}", place.min(PLACE_MAX)));
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

fn all(phrases: &[Vec<String>], weights: &str) -> String {
    let last = phrases.len().saturating_sub(1);
    let phrase = |(at, words): (usize, &Vec<String>)| {
        let end = words.len().saturating_sub(1);
        let word = |(place, word): (usize, &String)| {
            let prefix = if at == last && place == end { "*" } else { "" };
            format!("'{word}':{prefix}{weights}")
        };
        format!("({})", words.iter().enumerate().map(word).collect::<Vec<_>>().join(" <-> "))
    };
    phrases.iter().enumerate().map(phrase).collect::<Vec<_>>().join(" & ")
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
        assert_eq!(
            of("o'x", "Big Ünit", Some("a-b.mp4")),
            "'=o''x':1D 'big':1A 'unit':2A 'a':102B 'b':103B 'mp4':104B"
        );
        assert_eq!(of("acme", "🎬", None), "'=acme':1D");
    }

    #[test]
    fn the_last_word_of_the_last_phrase_is_a_prefix() {
        let phrases = [vec!["big".to_owned()], vec!["dsc".to_owned(), "00".to_owned()]];
        let title = "('big':A) & ('dsc':A <-> '00':*A)";
        assert_eq!(query("acme", &phrases, false), format!("'=acme':D & {title}"));
        let both = "('big':AB) & ('dsc':AB <-> '00':*AB)";
        assert_eq!(query("acme", &phrases, true), format!("'=acme':D & {both} & !({title})"));
    }
}
