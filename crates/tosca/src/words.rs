//! Words that a document may use, and which of them was meant by another one; and what stands in the place of those in braces.

use std::collections::BTreeMap;

/// Versions of TOSCA whose documents are read: both headers that FLAME's documents carry.
pub const VERSIONS: [&str; 2] = ["tosca_simple_profile_for_nfv_1_0_0", "tosca_simple_yaml_1_3"];
/// Longest name of a chain, an instance, a function, a policy or a trigger.
const NAME_MAX_BYTES: usize = 64;
/// Most words that are listed where none is near.
const LISTED_MAX: usize = 24;

/// Whether a text can be part of a path and of a name: 1 to 64 letters, digits, `.`, `_` and `-`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    !text.is_empty() && text.len() <= NAME_MAX_BYTES && text.chars().all(is_plain) && text != "." && text != ".."
}

/// The word that `text` is most like, if it is like one: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let measured = words.into_iter().map(|word| (distance(text, word), word));
    let (distance, word) = measured.min_by_key(|(distance, _)| *distance)?;
    (distance <= text.chars().count().max(3) / 3 + 1 && distance < word.chars().count()).then_some(word)
}

/// Puts values in the place of `{words}`; other braces stay.
#[must_use]
pub fn filled(text: &str, words: &BTreeMap<&str, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let value = after.split_once('}').and_then(|(word, behind)| Some((words.get(word)?, behind)));
        match value {
            Some((value, behind)) => {
                filled.push_str(value);
                rest = behind;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Says what may be written instead of `text`: the nearest word, else all.
#[must_use]
pub fn instead(text: &str, words: &[&str]) -> String {
    match nearest(text, words.iter().copied()) {
        Some(word) => format!("do you mean `{word}`?"),
        None if words.is_empty() => "nothing can be written here".to_owned(),
        None if words.len() > LISTED_MAX => {
            format!("write {}, or one of {} more", words[..LISTED_MAX].join(", "), words.len() - LISTED_MAX)
        }
        None => format!("write {}", words.join(", ")),
    }
}

/// Letters to insert, delete or replace (Levenshtein), without regard to case.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.to_lowercase(), to.to_lowercase());
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for (at, other) in to.iter().enumerate() {
            let replaced = corner + usize::from(letter != *other);
            corner = row[at + 1];
            row[at + 1] = replaced.min(corner + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_and_no_far_one() {
        let words = ["environment", "fqdn", "image", "eu.ict-flame.policies.StateChange"];
        for (text, meant) in [
            ("enviroment", Some("environment")),
            ("fqnd", Some("fqdn")),
            ("eu.ict-flame.policies.StateChanged", Some("eu.ict-flame.policies.StateChange")),
            ("Image", Some("image")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, words), meant, "{text}");
        }
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("abc", "abc")), (3, 3, 0));
    }

    #[test]
    fn only_known_words_are_filled_in() {
        let words = BTreeMap::from([("port", "80".to_owned()), ("fqdn", "a.b".to_owned())]);
        for (text, filled_in) in [
            ("[{name=\"{fqdn}\",listen=\"127.0.0.1:{port}\"}]", "[{name=\"a.b\",listen=\"127.0.0.1:80\"}]"),
            ("{state=booted}", "{state=booted}"),
            ("{{port}}", "{80}"),
            ("{port", "{port"),
            ("", ""),
        ] {
            assert_eq!(filled(text, &words), filled_in);
        }
    }
}
