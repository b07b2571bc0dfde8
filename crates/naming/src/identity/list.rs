//! List fields (RFC 9110 section 5.6.1), taken apart. What a member means is not known here.

use http::HeaderName;
use http::header::HeaderMap;

/// The members of one line, without blanks around them. A comma inside a quoted string separates nothing; where quotes do not
/// pair, none of them counts as one, so that a damaged member hides nothing behind it.
pub fn members(line: &str) -> impl Iterator<Item = &str> {
    let is_paired = ends_outside_quotes(line);
    let mut quotes = Quotes::default();
    let parts = line.split(move |character| !quotes.within(character, is_paired) && character == ',');
    parts.map(str::trim).filter(|member| !member.is_empty())
}

/// The members of all lines of a field, in lower case. Bytes above ASCII are in no word.
pub fn words(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    lines.flat_map(|line| members(&line).map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn ends_outside_quotes(line: &str) -> bool {
    let mut quotes = Quotes::default();
    for character in line.chars() {
        quotes.within(character, true);
    }
    !quotes.is_open
}

/// Where in a quoted string (RFC 9110 section 5.6.4) a reader is.
#[derive(Debug, Default)]
struct Quotes {
    is_open: bool,
    is_escaped: bool,
}

// === impl Quotes ===

impl Quotes {
    /// Whether `character` stands inside quotes; a quote itself does.
    fn within(&mut self, character: char, do_quotes_count: bool) -> bool {
        if !do_quotes_count {
            return false;
        }
        if std::mem::take(&mut self.is_escaped) {
            return true;
        }
        match character {
            '\\' if self.is_open => self.is_escaped = true,
            '"' => {
                self.is_open = !self.is_open;
                return true;
            }
            _ => {}
        }
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_commas_separate_nothing_and_quotes_without_a_pair_hide_nothing() {
        for (line, expected) in [
            (r#"a, "b,c", "d\",e",f,,"#, &["a", r#""b,c""#, r#""d\",e""#, "f"][..]),
            (r#"x="a,b";q=1 , y"#, &[r#"x="a,b";q=1"#, "y"]),
            (r#"max-age=60, x="a, private"#, &["max-age=60", r#"x="a"#, "private"]),
            ("", &[]),
        ] {
            assert_eq!(members(line).collect::<Vec<_>>(), expected, "{line}");
        }
    }
}
