//! From text to a [`Filter`]: one pass, one place, no going back further than a word. Pure.

use flame_api::metadata::GeoCoordinates;

use super::{Area, DEPTH_MAX, FILTER_MAX_CHARS, Field, Filter, Literal, Operator, TERMS_MAX, Unreadable};

/// Half of the way around the earth, metres: nothing is further away.
const RADIUS_MAX_M: f64 = 20_100_000.0;

/// Reads all of `text` as a filter.
pub(super) fn parse(text: &str) -> Result<Filter, Unreadable> {
    let mut reader = Reader::new(text)?;
    let filter = reader.any(0)?;
    reader.end("`and`, `or` or the end")?;
    Ok(filter)
}

/// Reads all of `text` as a field.
pub(super) fn field(text: &str) -> Result<Field, Unreadable> {
    let mut reader = Reader::new(text)?;
    let field = reader.field()?;
    reader.end("the end of the field")?;
    Ok(field)
}

struct Reader {
    symbols: Vec<char>,
    at: usize,
    terms: usize,
}

type Read<T> = Result<T, Unreadable>;

// === impl Reader ===

impl Reader {
    fn new(text: &str) -> Read<Self> {
        let symbols: Vec<char> = text.chars().take(FILTER_MAX_CHARS + 1).collect();
        let reader = Self { symbols, at: 0, terms: 0 };
        if reader.symbols.len() > FILTER_MAX_CHARS {
            return Err(Unreadable {
                at: FILTER_MAX_CHARS + 1,
                reason: format!("a filter has at most {FILTER_MAX_CHARS} characters"),
            });
        }
        Ok(reader)
    }

    fn any(&mut self, depth: usize) -> Read<Filter> {
        let mut parts = vec![self.all(depth)?];
        while self.keyword("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Filter::Any))
    }

    fn all(&mut self, depth: usize) -> Read<Filter> {
        let mut parts = vec![self.one(depth)?];
        while self.keyword("and") {
            parts.push(self.one(depth)?);
        }
        Ok(one_or(parts, Filter::All))
    }

    fn one(&mut self, depth: usize) -> Read<Filter> {
        self.blank();
        if depth > DEPTH_MAX {
            return self.wrong(self.at, format!("at most {DEPTH_MAX} parentheses and `not` stand in each other"));
        }
        if self.keyword("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        for call in ["exists", "near", "within"] {
            let before = self.at;
            if self.keyword(call) && self.sign("(") {
                self.term()?;
                return self.call(call);
            }
            self.at = before;
        }
        let field = self.field()?;
        if self.keyword("in") {
            self.expect("(")?;
            let mut parts = Vec::new();
            loop {
                self.term()?;
                parts.push(Filter::Compare(field.clone(), Operator::Equal, self.value()?));
                if !self.sign(",") {
                    self.expect(")")?;
                    return Ok(one_or(parts, Filter::Any));
                }
            }
        }
        self.term()?;
        let Some(operator) = Operator::ALL.into_iter().find(|operator| self.sign(operator.sign())) else {
            return self.unexpected("an operator (= != < <= > >= ~ in)");
        };
        self.blank();
        let at = self.at;
        let literal = self.value()?;
        if operator == Operator::Words && literal.words.is_empty() {
            return self.wrong(at, "there is no letter or digit to look for");
        }
        Ok(Filter::Compare(field, operator, literal))
    }

    /// What stands in the parentheses of a call, and the one that closes it.
    fn call(&mut self, call: &str) -> Read<Filter> {
        let field = self.field()?;
        let filter = match call {
            "near" => {
                let (latitude, longitude) = (self.degrees("latitude", 90.0)?, self.degrees("longitude", 180.0)?);
                self.expect(",")?;
                let centre = GeoCoordinates { latitude, longitude };
                Filter::Near { field, centre, radius_m: self.distance_m()? }
            }
            "within" => {
                let (south, west) = (self.degrees("south", 90.0)?, self.degrees("west", 180.0)?);
                let at = self.at;
                let (north, east) = (self.degrees("north", 90.0)?, self.degrees("east", 180.0)?);
                if south > north {
                    return self.wrong(at, "south lies north of north: within(field, south, west, north, east)");
                }
                Filter::Within { field, area: Area { south, west, north, east } }
            }
            _ => Filter::Exists(field),
        };
        self.expect(")")?;
        Ok(filter)
    }

    fn degrees(&mut self, what: &str, most: f64) -> Read<f64> {
        self.expect(",")?;
        self.blank();
        let at = self.at;
        match self.bare().parse::<f64>() {
            Ok(degrees) if degrees.abs() <= most => Ok(degrees),
            Ok(_) | Err(_) => self.wrong(at, format!("{what} is expected, {}{most} to {most} degrees", '-')),
        }
    }

    fn distance_m(&mut self) -> Read<f64> {
        self.blank();
        let at = self.at;
        let word = self.bare();
        let (number, unit_m) = match word.strip_suffix("km") {
            Some(number) => (number, 1000.0),
            None => (word.strip_suffix('m').unwrap_or("without a unit"), 1.0),
        };
        match number.parse::<f64>().map(|number| number * unit_m) {
            Ok(radius_m) if (0.0..=RADIUS_MAX_M).contains(&radius_m) => Ok(radius_m),
            Ok(_) | Err(_) => self.wrong(at, "a distance is expected, such as 500m or 2.5km"),
        }
    }

    fn field(&mut self) -> Read<Field> {
        self.blank();
        let begin = self.at;
        let mut steps = Vec::new();
        loop {
            let name = match self.quoted()? {
                Some(name) => name,
                None => self.name(),
            };
            if name.is_empty() {
                return self.unexpected("a field");
            }
            steps.push(name);
            if self.symbols.get(self.at) != Some(&'.') {
                break;
            }
            self.at += 1;
        }
        Field::new(steps).or_else(|reason| self.wrong(begin, reason))
    }

    fn value(&mut self) -> Read<Literal> {
        self.blank();
        if let Some(text) = self.quoted()? {
            return Ok(Literal::new(text, true));
        }
        let bare = self.bare();
        if bare.is_empty() {
            return self.unexpected("a value");
        }
        Ok(Literal::new(bare, false))
    }

    /// A text in quotes, if one begins here.
    fn quoted(&mut self) -> Read<Option<String>> {
        let Some(&quote) = self.symbols.get(self.at).filter(|symbol| matches!(symbol, '"' | '\'')) else {
            return Ok(None);
        };
        let begin = self.at;
        let mut text = String::new();
        self.at += 1;
        while let Some(&symbol) = self.symbols.get(self.at) {
            self.at += 1;
            if symbol == quote {
                return Ok(Some(text));
            }
            let escaped = (symbol == '\\').then(|| self.symbols.get(self.at)).flatten();
            match escaped {
                Some(&escaped) => {
                    self.at += 1;
                    text.push(escaped);
                }
                None => text.push(symbol),
            }
        }
        self.wrong(begin, "the quotes are not closed")
    }

    /// Letters, digits, `_` and `-`: a name.
    fn name(&mut self) -> String {
        self.run(|symbol| symbol.is_ascii_alphanumeric() || matches!(symbol, '_' | '-'))
    }

    /// What can stand without quotes.
    fn bare(&mut self) -> String {
        self.run(is_bare)
    }

    fn run(&mut self, is_of_it: impl Fn(char) -> bool) -> String {
        let run: String = self.symbols[self.at..].iter().copied().take_while(|symbol| is_of_it(*symbol)).collect();
        self.at += run.chars().count();
        run
    }

    fn blank(&mut self) {
        self.run(char::is_whitespace);
    }

    /// Steps over the word, if it stands here as a whole.
    fn keyword(&mut self, word: &str) -> bool {
        self.blank();
        let end = self.at + word.len();
        let stands = self.symbols.get(self.at..end).is_some_and(|symbols| {
            symbols.iter().copied().zip(word.chars()).all(|(symbol, letter)| symbol.eq_ignore_ascii_case(&letter))
        });
        let ends = self.symbols.get(end).is_none_or(|next| !is_bare(*next));
        if stands && ends {
            self.at = end;
        }
        stands && ends
    }

    /// Steps over the sign, if it stands here.
    fn sign(&mut self, sign: &str) -> bool {
        self.blank();
        let end = self.at + sign.len();
        let stands = self.symbols.get(self.at..end).is_some_and(|symbols| symbols.iter().copied().eq(sign.chars()));
        if stands {
            self.at = end;
        }
        stands
    }

    fn expect(&mut self, sign: &str) -> Read<()> {
        if self.sign(sign) { Ok(()) } else { self.unexpected(&format!("`{sign}`")) }
    }

    fn end(&mut self, expected: &str) -> Read<()> {
        self.blank();
        if self.at == self.symbols.len() { Ok(()) } else { self.unexpected(expected) }
    }

    fn term(&mut self) -> Read<()> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return self.wrong(self.at, format!("a filter has at most {TERMS_MAX} comparisons"));
        }
        Ok(())
    }

    fn unexpected<T>(&self, expected: &str) -> Read<T> {
        let found: String = self.symbols[self.at..].iter().take(20).collect();
        let found = if found.is_empty() { "it ends".to_owned() } else { format!("there is `{found}`") };
        self.wrong(self.at, format!("{expected} is expected, and {found}"))
    }

    fn wrong<T>(&self, at: usize, reason: impl Into<String>) -> Read<T> {
        Err(Unreadable { at: at + 1, reason: reason.into() })
    }
}

fn is_bare(symbol: char) -> bool {
    !symbol.is_whitespace() && !symbol.is_control() && !"\"'(),=!<>~\\".contains(symbol)
}

fn one_or(mut parts: Vec<Filter>, several: impl FnOnce(Vec<Filter>) -> Filter) -> Filter {
    match (parts.pop(), parts.is_empty()) {
        (Some(one), true) => one,
        (Some(last), false) => {
            parts.push(last);
            several(parts)
        }
        (None, _) => several(parts),
    }
}
