//! The word that was probably meant.

/// What is said after a word that is not known: the nearest of `words`, and all of them.
pub(crate) fn hint<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match nearest(word, &words) {
        Some(near) => format!("did you mean `{near}`? there are {}", words.join(", ")),
        None if words.is_empty() => "there are none".to_owned(),
        None => format!("there are {}", words.join(", ")),
    }
}

/// The word of least distance, if it is near enough to be a slip.
fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let far = (word.chars().count() / 3).max(1);
    let distances = words.iter().map(|other| (distance(&word, other), *other));
    distances.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= far).map(|(_, other)| other)
}

/// Insertions, deletions, changes and swaps of neighbours (optimal string alignment) from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<_>>()];
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, with) in other.iter().enumerate() {
            let mut least =
                (rows[row][column] + usize::from(letter != with)).min(rows[row][column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && *letter == other[column - 1] && one[row - 1] == *with {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            line.push(least);
        }
        rows.push(line);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_word_and_other_words_do_not() {
        let words = ["deinterlace", "encode-video", "encode-audio", "crop", "pad"];
        for (word, near) in [
            ("deinterlaced", Some("deinterlace")),
            ("encode_video", Some("encode-video")),
            ("Crop", Some("crop")),
            ("corp", Some("crop")),
            ("watermark", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &words), near, "{word}");
        }
        assert!(hint("corp", words).starts_with("did you mean `crop`?"));
    }
}
