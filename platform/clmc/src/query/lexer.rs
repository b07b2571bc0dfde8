//! The words of a question. A regular expression is read only where one is expected: elsewhere `/` divides.

/// A word, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A name; `is_quoted` where it stands in double quotes, and so is no keyword.
    Name {
        text: String,
        is_quoted: bool,
    },
    Text(String),
    Integer(i64),
    Float(f64),
    Duration(i64),
    Symbol(&'static str),
    /// A character that has no meaning, or a text without an end.
    Bad(String),
    End,
}

/// Reads words from the front.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a str,
    pub at: usize,
}

const SYMBOLS: [&str; 23] = [
    "$", "::", "=~", "!~", "!=", "<>", "<=", ">=", "(", ")", ",", ".", "*", "+", "-", "/", "=", "<", ">", ";", ":",
    "%", "&",
];

/// Nanoseconds of the units of durations; longer words first.
const UNITS: [(&str, i64); 10] = [
    ("ns", 1),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("u", 1_000),
    ("µ", 1_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const WEEK_NS: i64 = 604_800_000_000_000;

// === impl Lexer ===

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Passes over spaces and comments.
    pub fn skip_spaces(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                self.at += trimmed.find("*/").map_or(trimmed.len(), |end| end + 2);
            } else {
                return;
            }
        }
    }

    /// Line and character of a place, from 1 on, as InfluxDB counts them.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1)
    }

    pub fn next(&mut self) -> Token {
        self.skip_spaces();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Token::End };
        match first {
            '"' => self.quoted('"').map_or_else(Token::Bad, |text| Token::Name { text, is_quoted: true }),
            '\'' => self.quoted('\'').map_or_else(Token::Bad, Token::Text),
            '0'..='9' => self.number(),
            '.' if rest[1..].starts_with(|it: char| it.is_ascii_digit()) => self.number(),
            _ if first.is_alphabetic() || first == '_' => {
                let end = rest.find(|it: char| !(it.is_alphanumeric() || it == '_')).unwrap_or(rest.len());
                self.at += end;
                Token::Name { text: rest[..end].to_owned(), is_quoted: false }
            }
            _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    Token::Symbol(symbol)
                }
                None => {
                    self.at += first.len_utf8();
                    Token::Bad(first.to_string())
                }
            },
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let rest = self.rest();
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, it @ ('"' | '\'' | '\\'))) => text.push(it),
                    Some((_, it)) => text.extend(['\\', it]),
                    None => break,
                },
                _ if character == quote => {
                    self.at += at + 1;
                    return Ok(text);
                }
                _ => text.push(character),
            }
        }
        self.at = self.text.len();
        Err(rest.to_owned())
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        let end = rest.find(|it: char| !(it.is_ascii_digit() || it == '.')).unwrap_or(rest.len());
        let digits = &rest[..end];
        if digits.contains('.') {
            self.at += end;
            return digits.parse().map_or_else(|_| Token::Bad(digits.to_owned()), Token::Float);
        }
        match duration(rest) {
            Some((length, ns)) => {
                self.at += length;
                Token::Duration(ns)
            }
            None => {
                self.at += end;
                digits.parse().map_or_else(|_| Token::Bad(digits.to_owned()), Token::Integer)
            }
        }
    }

    /// A regular expression in slashes, if one begins here.
    pub fn pattern(&mut self) -> Option<String> {
        self.skip_spaces();
        let body = self.rest().strip_prefix('/')?;
        let (mut pattern, mut is_escaped) = (String::new(), false);
        for (at, character) in body.char_indices() {
            match character {
                '/' if is_escaped => {
                    pattern.pop();
                    pattern.push('/');
                    is_escaped = false;
                }
                '/' => {
                    self.at += at + 2;
                    return Some(pattern);
                }
                _ => {
                    is_escaped = character == '\\' && !is_escaped;
                    pattern.push(character);
                }
            }
        }
        None
    }
}

/// The duration that a text begins with: `10s`, `1h30m`; its length and nanoseconds.
fn duration(text: &str) -> Option<(usize, i64)> {
    let (mut at, mut total_ns) = (0, 0_i64);
    loop {
        let rest = &text[at..];
        let digits = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        let units = &rest[digits..];
        let word = units.find(|it: char| !it.is_alphabetic()).unwrap_or(units.len());
        // `1h30m`: a unit ends where the next number begins.
        let unit = &units[..word];
        let unit_ns =
            if unit == "w" { Some(WEEK_NS) } else { UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| *ns) };
        let Some(unit_ns) = unit_ns.filter(|_| digits > 0) else {
            return (at > 0 && rest.is_empty()).then_some((at, total_ns));
        };
        total_ns = rest[..digits].parse::<i64>().ok()?.checked_mul(unit_ns)?.checked_add(total_ns)?;
        at += digits + word;
        if !text[at..].starts_with(|it: char| it.is_ascii_digit()) {
            return Some((at, total_ns));
        }
    }
}
