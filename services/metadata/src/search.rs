//! From what a person types to an expression of the database: of FTS5 (<https://sqlite.org/fts5.html>, section 3) and of
//! PostgreSQL's full text. Pure.
//!
//! Every word becomes a quoted phrase, so nothing that is typed has a meaning of its own: `AND`, `NEAR`, `-`, `:`, `*`
//! and quotes are only text. For SQLite its own tokenizer cuts the phrases, exactly as it cut the titles; for PostgreSQL
//! [`crate::words`] cuts both.

pub mod tsvector;

use crate::limits::Refused;
use crate::words;

/// Longest search, in characters.
pub const QUERY_MAX_CHARS: usize = 200;
/// Most words of a search.
pub const WORDS_MAX: usize = 16;

/// The two expressions of a search, one a tier (see [`crate::cursor::Tier`]). Together they find every asset of the
/// tenant that has all words, and none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// All words are in the title.
    pub in_title: Expression,
    /// All words are in title and file name together, but not in the title alone.
    pub with_file_name: Expression,
    /// The words, as both databases have them; each inner list is a phrase. The last word of all is a prefix.
    pub phrases: Vec<Vec<String>>,
}

/// One question, in the words of each database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// For FTS5 of SQLite.
    pub fts5: String,
    /// For `tsquery` of PostgreSQL.
    pub tsquery: String,
}

/// What a search means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing was typed: everything.
    Everything,
    /// Only signs were typed, which are in no index: nothing.
    Nothing,
    /// Assets with these words.
    Words(Search),
}

/// Reads the search `text` of a caller who acts for `tenant`.
pub fn parse(tenant: &str, text: &str) -> Result<Wanted, Refused> {
    let refused = |reason| Err(Refused { field: "q".to_owned(), reason });
    if text.chars().count() > QUERY_MAX_CHARS {
        return refused(format!("must have at most {QUERY_MAX_CHARS} characters"));
    }
    let blank = |symbol: char| symbol.is_whitespace() || symbol.is_control();
    let typed: Vec<&str> = text.split(blank).filter(|word| !word.is_empty()).collect();
    if typed.is_empty() {
        return Ok(Wanted::Everything);
    }
    if typed.len() > WORDS_MAX {
        return refused(format!("must have at most {WORDS_MAX} words"));
    }
    // A word of signs alone is in no index: as a phrase without tokens it would make everything else be missed.
    let typed: Vec<(&str, Vec<String>)> =
        typed.into_iter().map(|word| (word, words::of(word))).filter(|(_, words)| !words.is_empty()).collect();
    if typed.is_empty() {
        return Ok(Wanted::Nothing);
    }
    let (typed, phrases): (Vec<&str>, Vec<Vec<String>>) = typed.into_iter().unzip();
    // The last word may still be being typed: it is a prefix.
    let words = format!("{}*", typed.into_iter().map(phrase).collect::<Vec<_>>().join(" AND "));
    let own = format!("tenant : {}", phrase(tenant));
    let in_title = Expression {
        fts5: format!("{own} AND {{title}} : ({words})"),
        tsquery: tsvector::query(tenant, &phrases, false),
    };
    let with_file_name = Expression {
        fts5: format!("({own} AND {{title file_name}} : ({words})) NOT {{title}} : ({words})"),
        tsquery: tsvector::query(tenant, &phrases, true),
    };
    Ok(Wanted::Words(Search { in_title, with_file_name, phrases }))
}

/// A string of FTS5: in quotes, with the quotes in it doubled.
fn phrase(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_phrases_and_the_last_a_prefix() {
        let Wanted::Words(search) = parse("acme", " big  \"bun\0ny\" - ").unwrap() else { panic!("no words") };
        let words = r#""big" AND """bun" AND "ny"""*"#;
        assert_eq!(search.in_title.fts5, format!("tenant : \"acme\" AND {{title}} : ({words})"));
        assert!(search.with_file_name.fts5.ends_with(&format!("NOT {{title}} : ({words})")));
    }

    #[test]
    fn nothing_typed_is_everything_and_only_signs_are_nothing() {
        for blank in ["", "  ", "\t\n\0"] {
            assert_eq!(parse("acme", blank), Ok(Wanted::Everything));
        }
        for signs in ["-", "\"", "🎬 *", "( ) :"] {
            assert_eq!(parse("acme", signs), Ok(Wanted::Nothing), "{signs}");
        }
    }

    #[test]
    fn length_is_bounded() {
        assert!(parse("acme", &"a".repeat(QUERY_MAX_CHARS)).is_ok());
        assert!(parse("acme", &"a".repeat(QUERY_MAX_CHARS + 1)).is_err());
        assert!(parse("acme", &"a ".repeat(WORDS_MAX)).is_ok());
        assert!(parse("acme", &"a ".repeat(WORDS_MAX + 1)).is_err());
    }
}
