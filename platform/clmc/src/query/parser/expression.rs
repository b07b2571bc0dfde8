//! Expressions of InfluxQL: what stands between `SELECT` and `FROM`, and after `WHERE`.

use super::super::ast::{Expr, Operator};
use super::super::lexer::Token;
use super::{OPERATORS_MAX, ParseError, Parser};

/// Parentheses and signs within each other.
const DEPTH_MAX: usize = 64;

/// Operators that bind equally, the weakest first.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("or", Operator::Or)],
    &[("and", Operator::And)],
    &[
        ("=", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<>", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        ("<", Operator::Less),
        (">=", Operator::GreaterOrEqual),
        (">", Operator::Greater),
        ("=~", Operator::Matches),
        ("!~", Operator::MatchesNot),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[("*", Operator::Times), ("/", Operator::Over)],
];

// === impl Parser ===

impl Parser<'_> {
    /// `::field`, `::tag`, `::float` …: what it is, is known.
    pub(super) fn cast(&mut self) -> Result<Option<String>, ParseError> {
        if self.takes("::") { self.name().map(|kind| Some(kind.to_lowercase())) } else { Ok(None) }
    }

    pub(super) fn expr(&mut self) -> Result<Expr, ParseError> {
        self.level(0)
    }

    fn level(&mut self, level: usize) -> Result<Expr, ParseError> {
        let Some(operators) = LEVELS.get(level) else { return self.primary() };
        let mut left = self.level(level + 1)?;
        'next: loop {
            for (sign, operator) in *operators {
                let is_next =
                    if sign.starts_with(char::is_alphabetic) { self.takes_words(sign) } else { self.takes(sign) };
                if is_next {
                    self.operators += 1;
                    if self.operators > OPERATORS_MAX {
                        return Err(self.error_here(format!("more than {OPERATORS_MAX} operators")));
                    }
                    let right = match operator {
                        Operator::Matches | Operator::MatchesNot => Expr::Pattern(self.pattern()?),
                        _ => self.level(level + 1)?,
                    };
                    left = Expr::Binary(*operator, Box::new(left), Box::new(right));
                    continue 'next;
                }
            }
            return Ok(left);
        }
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error_here(format!("more than {DEPTH_MAX} levels of parentheses")));
        }
        let expr = self.plain();
        self.depth -= 1;
        expr
    }

    /// The value that is given for a name.
    fn parameter(&mut self) -> Result<Expr, ParseError> {
        let name = self.name()?;
        match self.parameters.get(&name) {
            Some(serde_json::Value::String(text)) => Ok(Expr::Text(text.clone())),
            Some(serde_json::Value::Bool(value)) => Ok(Expr::Boolean(*value)),
            Some(serde_json::Value::Number(number)) => {
                Ok(number.as_i64().map_or_else(|| Expr::Float(number.as_f64().unwrap_or_default()), Expr::Integer))
            }
            Some(_) => Err(self.error_here(format!("the value of ${name} is neither text, number nor boolean"))),
            None => Err(self.error_here(format!("missing parameter: {name}"))),
        }
    }

    fn plain(&mut self) -> Result<Expr, ParseError> {
        if self.takes("(") {
            let expr = self.expr()?;
            self.need(")")?;
            return Ok(expr);
        }
        if self.takes("-") {
            return Ok(match self.primary()? {
                Expr::Integer(number) => Expr::Integer(-number),
                Expr::Float(number) => Expr::Float(-number),
                Expr::Duration(ns) => Expr::Duration(-ns),
                other => Expr::Binary(Operator::Times, Box::new(Expr::Integer(-1)), Box::new(other)),
            });
        }
        if self.takes("*") {
            let kind = self.cast()?;
            let is = |word: &str| kind.as_deref().is_none_or(|kind| kind == word);
            return Ok(Expr::All { fields: is("field"), tags: is("tag") });
        }
        if self.is_pattern_next() {
            return self.pattern().map(Expr::Pattern);
        }
        if self.takes("$") {
            return self.parameter();
        }
        let here = self.lexer.clone();
        match self.lexer.next() {
            Token::Integer(number) => Ok(Expr::Integer(number)),
            Token::Float(number) => Ok(Expr::Float(number)),
            Token::Duration(ns) => Ok(Expr::Duration(ns)),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Name { text, is_quoted: false } if text.eq_ignore_ascii_case("true") => Ok(Expr::Boolean(true)),
            Token::Name { text, is_quoted: false } if text.eq_ignore_ascii_case("false") => Ok(Expr::Boolean(false)),
            Token::Name { text, is_quoted } => {
                if is_quoted || !self.takes("(") {
                    self.cast()?;
                    return Ok(Expr::Name(text));
                }
                let mut arguments = Vec::new();
                if !self.takes(")") {
                    arguments.push(self.expr()?);
                    while self.takes(",") {
                        arguments.push(self.expr()?);
                    }
                    self.need(")")?;
                }
                Ok(Expr::Call(text.to_lowercase(), arguments))
            }
            Token::Symbol(_) | Token::Bad(_) | Token::End => {
                self.lexer = here;
                Err(self.expected("a name, a number, a text, a call or parentheses"))
            }
        }
    }
}
