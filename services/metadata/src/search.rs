//! From what a person types to an expression of the database: of FTS5 (<https://sqlite.org/fts5.html>, section 3) and of
//! PostgreSQL's full text. Pure.
//!
//! Every word becomes a quoted phrase, so nothing that is typed has a meaning of its own: `AND`, `NEAR`, `-`, `:`, `*`
//! and quotes are only text. For SQLite its own tokenizer cuts the phrases, exactly as it cut the titles; for PostgreSQL
//! [`crate::words`] cuts both.

pub mod tsvector;

use std::collections::BTreeSet;

use crate::cursor::Tier;
use crate::limits::Refused;
use crate::{stems, words};

/// Longest search, in characters.
pub const QUERY_MAX_CHARS: usize = 200;
/// Most words of a search.
pub const WORDS_MAX: usize = 16;

/// The expressions of a search, one a tier (see [`Tier`]). Together they find every asset of the tenant that has all words,
/// and none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// All words are in the title.
    pub in_title: Expression,
    /// All words are in title and file name together, but not in the title alone.
    pub with_file_name: Expression,
    /// All words, or words of the same stems, are in title, file name and record together, but not in title and file name.
    pub with_record: Expression,
    /// The words, as both databases have them; each inner list is a phrase. The last word of all is a prefix.
    pub phrases: Vec<Vec<String>>,
    /// The same words with their accents, as stemmers read them.
    pub spelt: Vec<String>,
}

/// One question, in the words of each database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// For FTS5 of SQLite.
    pub fts5: String,
    /// For `tsquery` of PostgreSQL.
    pub tsquery: String,
}

/// The stems that may stand for a phrase: of each language, of each of its words.
type Stems = Vec<Vec<BTreeSet<String>>>;

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

// === impl Search ===

impl Search {
    /// The expression of a tier.
    #[must_use]
    pub fn of(&self, tier: Tier) -> &Expression {
        match tier {
            Tier::Title => &self.in_title,
            Tier::FileName => &self.with_file_name,
            Tier::Record => &self.with_record,
        }
    }
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
    let spelt: Vec<Vec<String>> = typed.iter().map(|typed| words::spelt(typed)).collect();
    let asked: Vec<Stems> = spelt.iter().map(|words| stems::asked(words)).collect();
    let anywhere = anywhere(&typed, &asked);
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
    let with_record = Expression {
        fts5: format!("({own} AND {anywhere}) NOT {{title file_name}} : ({words})"),
        tsquery: tsvector::query_anywhere(tenant, &phrases, &asked),
    };
    let spelt = spelt.into_iter().flatten().collect();
    Ok(Wanted::Words(Search { in_title, with_file_name, with_record, phrases, spelt }))
}

/// What has all that was typed in title, file name and record, or words of the same stems: for FTS5.
fn anywhere(typed: &[&str], asked: &[Stems]) -> String {
    let last = typed.len().saturating_sub(1);
    let one = |(at, (typed, asked)): (usize, (&&str, &Stems))| {
        let prefix = if at == last { "*" } else { "" };
        let words = format!("{{title file_name record_words}} : ({}{prefix})", phrase(typed));
        let stems = each_language(asked, |stem| format!("\"{stem}\""), " AND ", " OR ");
        if stems.is_empty() { format!("({words})") } else { format!("({words} OR {{stems}} : ({stems}))") }
    };
    typed.iter().zip(asked).enumerate().map(one).collect::<Vec<_>>().join(" AND ")
}

/// Says that in one of the languages every word has one of its stems. Empty where there are no words.
fn each_language(asked: &Stems, quoted: impl Fn(&str) -> String, and: &str, or: &str) -> String {
    let word =
        |stems: &BTreeSet<String>| format!("({})", stems.iter().map(|stem| quoted(stem)).collect::<Vec<_>>().join(or));
    let language =
        |words: &Vec<BTreeSet<String>>| format!("({})", words.iter().map(word).collect::<Vec<_>>().join(and));
    asked.iter().map(language).collect::<Vec<_>>().join(or)
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
        assert!(search.with_record.fts5.ends_with(&format!("NOT {{title file_name}} : ({words})")));
    }

    #[test]
    fn words_of_a_record_are_found_by_themselves_or_by_their_stems() {
        let Wanted::Words(search) = parse("acme", "Riding häuser").unwrap() else { panic!("no words") };
        let found = &search.of(Tier::Record).fts5;
        assert!(
            found.starts_with(r#"(tenant : "acme" AND ({title file_name record_words} : ("Riding") OR {stems} : ("#),
            "{found}"
        );
        assert!(found.contains(r#"AND ({title file_name record_words} : ("häuser"*) OR {stems} : ("#), "{found}");
        assert!(found.contains(r#"(("enride"))"#) && found.contains(r#"(("dehaus"))"#), "{found}");
        assert_eq!(search.spelt, ["riding", "häuser"]);
        assert_eq!(search.of(Tier::Title), &search.in_title);
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
