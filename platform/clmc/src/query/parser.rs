//! InfluxQL, read: the part of the language that Grafana and the client libraries send. Pure.
//!
//! Not read, and refused by name: subqueries, `INTO`, continuous queries, users.

mod expression;

use regex_lite::RegexBuilder;

use super::ast::{
    Chosen, Dimension, Every, Fill, KeyChoice, Pattern, Select, Show, Shown, Source, SourceName, Statement,
};
use super::lexer::{Lexer, Token};

/// Statements in one question.
const STATEMENTS_MAX: usize = 64;
/// Operators in one question: what they join lies in each other, and whoever walks it goes as deep.
const OPERATORS_MAX: usize = 500;
/// Regular expressions in one question, and the memory of each.
const PATTERNS_MAX: usize = 16;
const PATTERN_MAX_BYTES: usize = 256 << 10;
/// Columns, sources or dimensions of one statement.
const LIST_MAX: usize = 256;

/// What is wrong with a question, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing query: {message} at line {line}, char {character}")]
pub struct ParseError {
    /// What was found, and what was expected.
    pub message: String,
    /// Where, from 1 on.
    pub line: usize,
    /// Where in the line, from 1 on.
    pub character: usize,
}

/// Values that a question names with `$`.
pub type Parameters = serde_json::Map<String, serde_json::Value>;

/// Reads statements separated by semicolons.
pub fn parse(text: &str, parameters: &Parameters) -> Result<Vec<Statement>, ParseError> {
    let mut parser = Parser { lexer: Lexer::new(text), parameters, depth: 0, operators: 0, patterns: 0 };
    let mut statements = Vec::new();
    loop {
        while parser.takes(";") {}
        if parser.peek() == Token::End {
            break;
        }
        if statements.len() >= STATEMENTS_MAX {
            return Err(parser.error_here(format!("more than {STATEMENTS_MAX} statements")));
        }
        statements.push(parser.statement()?);
        if parser.peek() != Token::End && !parser.takes(";") {
            return Err(parser.expected("; or the end"));
        }
    }
    if statements.is_empty() { Err(parser.expected("a statement")) } else { Ok(statements) }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    parameters: &'a Parameters,
    depth: usize,
    operators: usize,
    patterns: usize,
}

// === impl Parser ===

impl Parser<'_> {
    fn peek(&self) -> Token {
        self.lexer.clone().next()
    }

    /// Takes a symbol, if it comes next.
    fn takes(&mut self, symbol: &str) -> bool {
        let mut ahead = self.lexer.clone();
        let is_next = matches!(ahead.next(), Token::Symbol(next) if next == symbol);
        if is_next {
            self.lexer = ahead;
        }
        is_next
    }

    /// Takes keywords, if they come next.
    fn takes_words(&mut self, words: &str) -> bool {
        let mut ahead = self.lexer.clone();
        for word in words.split(' ') {
            match ahead.next() {
                Token::Name { text, is_quoted: false } if text.eq_ignore_ascii_case(word) => {}
                _ => return false,
            }
        }
        self.lexer = ahead;
        true
    }

    fn need(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.takes(symbol) { Ok(()) } else { Err(self.expected(symbol)) }
    }

    fn need_words(&mut self, words: &str) -> Result<(), ParseError> {
        if self.takes_words(words) { Ok(()) } else { Err(self.expected(words)) }
    }

    fn expected(&self, what: &str) -> ParseError {
        let found = match self.peek() {
            Token::Name { text, .. } | Token::Bad(text) => text,
            Token::Text(text) => format!("'{text}'"),
            Token::Integer(number) => number.to_string(),
            Token::Float(number) => number.to_string(),
            Token::Duration(ns) => format!("{ns}ns"),
            Token::Symbol(symbol) => symbol.to_owned(),
            Token::End => "EOF".to_owned(),
        };
        self.error_here(format!("found {}, expected {what}", found.chars().take(60).collect::<String>()))
    }

    fn error_here(&self, message: String) -> ParseError {
        let mut ahead = self.lexer.clone();
        ahead.skip_spaces();
        let (line, character) = ahead.place(ahead.at);
        ParseError { message, line, character }
    }

    fn name(&mut self) -> Result<String, ParseError> {
        let mut ahead = self.lexer.clone();
        match ahead.next() {
            Token::Name { text, .. } => {
                self.lexer = ahead;
                Ok(text)
            }
            _ => Err(self.expected("a name")),
        }
    }

    fn count(&mut self) -> Result<usize, ParseError> {
        let mut ahead = self.lexer.clone();
        match ahead.next() {
            Token::Integer(number) if number >= 0 => {
                self.lexer = ahead;
                Ok(usize::try_from(number).unwrap_or(usize::MAX))
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// `word N`, or 0.
    fn optional_count(&mut self, word: &str) -> Result<usize, ParseError> {
        if self.takes_words(word) { self.count() } else { Ok(0) }
    }

    fn pattern(&mut self) -> Result<Pattern, ParseError> {
        let here = self.lexer.clone();
        let Some(text) = self.lexer.pattern() else { return Err(self.expected("a regular expression in slashes")) };
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return Err(self.error_here(format!("more than {PATTERNS_MAX} regular expressions")));
        }
        RegexBuilder::new(&text).size_limit(PATTERN_MAX_BYTES).build().map(Pattern).map_err(|error| {
            self.lexer = here;
            self.error_here(format!("/{text}/ is no regular expression: {error}"))
        })
    }

    fn is_pattern_next(&self) -> bool {
        self.peek() == Token::Symbol("/")
    }

    fn statement(&mut self) -> Result<Statement, ParseError> {
        if self.takes_words("select") {
            return Ok(Statement::Select(Box::new(self.select()?)));
        }
        if self.takes_words("show databases") {
            return Ok(Statement::ShowDatabases);
        }
        if self.takes_words("show retention policies") {
            self.on()?;
            return Ok(Statement::ShowRetentionPolicies);
        }
        if self.takes_words("create database") {
            let name = self.name()?;
            // The policy of a new database is that of the store: `WITH DURATION …` says nothing here.
            while !matches!(self.peek(), Token::End | Token::Symbol(";")) {
                self.lexer.next();
            }
            return Ok(Statement::CreateDatabase(name));
        }
        if self.takes_words("drop database") {
            return Ok(Statement::DropDatabase(self.name()?));
        }
        let shown = [
            ("show measurements", Shown::Measurements),
            ("show series", Shown::Series),
            ("show tag keys", Shown::TagKeys),
            ("show field keys", Shown::FieldKeys),
            ("show tag values", Shown::TagValues(KeyChoice::OneOf(Vec::new()))),
        ];
        for (words, what) in shown {
            if self.takes_words(words) {
                return self.show(what).map(Statement::Show);
            }
        }
        Err(self.expected("SELECT, SHOW DATABASES, SHOW MEASUREMENTS, SHOW SERIES, SHOW TAG KEYS, SHOW TAG VALUES, SHOW FIELD KEYS, SHOW RETENTION POLICIES, CREATE DATABASE or DROP DATABASE"))
    }

    fn on(&mut self) -> Result<Option<String>, ParseError> {
        if self.takes_words("on") { self.name().map(Some) } else { Ok(None) }
    }

    fn show(&mut self, mut what: Shown) -> Result<Show, ParseError> {
        let database = self.on()?;
        let mut sources = Vec::new();
        if what == Shown::Measurements && self.takes_words("with measurement") {
            let name = if self.takes("=~") {
                SourceName::Matches(self.pattern()?)
            } else {
                self.need("=")?;
                SourceName::Is(self.name()?)
            };
            sources.push(Source { database: None, name });
        }
        if self.takes_words("from") {
            sources = self.sources()?;
        }
        if let Shown::TagValues(keys) = &mut what {
            self.need_words("with key")?;
            *keys = self.key_choice()?;
        }
        let condition = if self.takes_words("where") { Some(self.expr()?) } else { None };
        if self.takes_words("order by") {
            self.name()?;
            let _ = self.takes_words("asc") || self.takes_words("desc");
        }
        let (limit, offset) = (self.optional_count("limit")?, self.optional_count("offset")?);
        Ok(Show { what, database, sources, condition, limit, offset })
    }

    fn key_choice(&mut self) -> Result<KeyChoice, ParseError> {
        if self.takes("=") {
            return Ok(KeyChoice::OneOf(vec![self.name()?]));
        }
        if self.takes("!=") || self.takes("<>") {
            return self.name().map(KeyChoice::Not);
        }
        if self.takes("=~") {
            return self.pattern().map(KeyChoice::Matching);
        }
        if self.takes("!~") {
            return self.pattern().map(KeyChoice::NotMatching);
        }
        self.need_words("in")?;
        self.need("(")?;
        let mut names = vec![self.name()?];
        while self.takes(",") {
            names.push(self.name()?);
        }
        self.need(")")?;
        Ok(KeyChoice::OneOf(names))
    }

    fn select(&mut self) -> Result<Select, ParseError> {
        let mut columns = vec![self.chosen()?];
        while self.takes(",") {
            self.check_room(&columns)?;
            columns.push(self.chosen()?);
        }
        if self.takes_words("into") {
            return Err(self.error_here("INTO is not supported: write what was read".to_owned()));
        }
        self.need_words("from")?;
        let sources = self.sources()?;
        let condition = if self.takes_words("where") { Some(self.expr()?) } else { None };
        let (mut every, mut dimensions) = (None, Vec::new());
        if self.takes_words("group by") {
            loop {
                self.check_room(&dimensions)?;
                self.dimension(&mut every, &mut dimensions)?;
                if !self.takes(",") {
                    break;
                }
            }
        }
        let fill = if self.takes_words("fill") { self.fill()? } else { Fill::Null };
        let mut is_descending = false;
        if self.takes_words("order by") {
            self.need_words("time")?;
            is_descending = self.takes_words("desc");
            let _ = self.takes_words("asc");
        }
        let (limit, offset) = (self.optional_count("limit")?, self.optional_count("offset")?);
        let (series_limit, series_offset) = (self.optional_count("slimit")?, self.optional_count("soffset")?);
        if self.takes_words("tz") {
            self.need("(")?;
            match self.lexer.next() {
                Token::Text(zone) if zone.eq_ignore_ascii_case("utc") => self.need(")")?,
                _ => return Err(self.error_here("times are in UTC here: leave tz() out".to_owned())),
            }
        }
        Ok(Select {
            columns,
            sources,
            condition,
            every,
            dimensions,
            fill,
            is_descending,
            limit,
            offset,
            series_limit,
            series_offset,
        })
    }

    fn chosen(&mut self) -> Result<Chosen, ParseError> {
        let expr = self.expr()?;
        let alias = if self.takes_words("as") { Some(self.name()?) } else { None };
        Ok(Chosen { expr, alias })
    }

    /// Whether a list may grow.
    fn check_room<T>(&self, list: &[T]) -> Result<(), ParseError> {
        if list.len() < LIST_MAX {
            return Ok(());
        }
        Err(self.error_here(format!("more than {LIST_MAX} columns, measurements or dimensions")))
    }

    fn sources(&mut self) -> Result<Vec<Source>, ParseError> {
        let mut sources = vec![self.source()?];
        while self.takes(",") {
            self.check_room(&sources)?;
            sources.push(self.source()?);
        }
        Ok(sources)
    }

    /// `m`, `rp.m`, `db.rp.m`, `db..m`, each last part also a pattern.
    fn source(&mut self) -> Result<Source, ParseError> {
        if self.peek() == Token::Symbol("(") {
            return Err(self.error_here("subqueries are not supported: ask for each measurement by itself".to_owned()));
        }
        let mut parts: Vec<String> = Vec::new();
        loop {
            if self.is_pattern_next() {
                let name = SourceName::Matches(self.pattern()?);
                return Ok(Source { database: database_of(&parts, 2), name });
            }
            if self.takes(".") {
                parts.push(String::new());
                continue;
            }
            parts.push(self.name()?);
            if !self.takes(".") {
                break;
            }
        }
        if parts.len() > 3 {
            return Err(self.error_here("too many parts in a name: database.policy.measurement".to_owned()));
        }
        let name = parts.pop().unwrap_or_default();
        Ok(Source { database: database_of(&parts, 2), name: SourceName::Is(name) })
    }

    fn dimension(&mut self, every: &mut Option<Every>, dimensions: &mut Vec<Dimension>) -> Result<(), ParseError> {
        if self.is_pattern_next() {
            dimensions.push(Dimension::Matching(self.pattern()?));
        } else if self.takes("*") {
            dimensions.push(Dimension::All);
        } else if self.takes_words("time") {
            self.need("(")?;
            let width_ns = self.duration()?;
            if width_ns <= 0 {
                return Err(self.error_here("the windows of time() have a length".to_owned()));
            }
            let offset_ns = if self.takes(",") { self.duration()? } else { 0 };
            self.need(")")?;
            if every.replace(Every { width_ns, offset_ns }).is_some() {
                return Err(self.error_here("multiple time dimensions not allowed".to_owned()));
            }
        } else {
            let name = self.name()?;
            self.cast()?;
            dimensions.push(Dimension::Tag(name));
        }
        Ok(())
    }

    fn duration(&mut self) -> Result<i64, ParseError> {
        let is_negative = self.takes("-");
        let mut ahead = self.lexer.clone();
        match ahead.next() {
            Token::Duration(ns) => {
                self.lexer = ahead;
                Ok(if is_negative { -ns } else { ns })
            }
            _ => Err(self.expected("a duration such as 10s")),
        }
    }

    fn fill(&mut self) -> Result<Fill, ParseError> {
        self.need("(")?;
        let words =
            [("null", Fill::Null), ("none", Fill::Nothing), ("previous", Fill::Previous), ("linear", Fill::Linear)];
        for (word, fill) in words {
            if self.takes_words(word) {
                self.need(")")?;
                return Ok(fill);
            }
        }
        let sign = if self.takes("-") { -1.0 } else { 1.0 };
        let mut ahead = self.lexer.clone();
        #[allow(clippy::cast_precision_loss, reason = "what fills is a number of few digits")]
        let number = match ahead.next() {
            Token::Integer(number) => number as f64,
            Token::Float(number) => number,
            _ => return Err(self.expected("null, none, previous, linear or a number")),
        };
        self.lexer = ahead;
        self.need(")")?;
        Ok(Fill::Number(sign * number))
    }
}

/// The database in the parts before a measurement: the first, if the policy stands between.
fn database_of(parts: &[String], whole: usize) -> Option<String> {
    (parts.len() >= whole).then(|| parts[0].clone()).filter(|name| !name.is_empty())
}
