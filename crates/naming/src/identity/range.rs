//! Ranges in one form (RFC 9110 section 14). Only what is a range of bytes is written anew; whatever else was sent stays as it is,
//! because nobody can say what equals it.

use http::Method;
use http::header::{self, HeaderMap};

use super::Single;

/// The validator of the body that a range is wanted of (RFC 9110 section 13.1.5): those who name the same strong one get the same part,
/// or the same whole where it is another body now.
///
/// # Errors
/// [`Single::Conditional`]: it is weak, a date, or there is no range that it is about. Servers differ in what they make of that.
pub(super) fn validator(method: &Method, headers: &HeaderMap) -> Result<Option<Box<[u8]>>, Single> {
    let lines: Vec<&[u8]> = headers.get_all(header::IF_RANGE).iter().map(http::HeaderValue::as_bytes).collect();
    let has_range = *method == Method::GET && headers.get_all(header::RANGE).iter().count() == 1;
    match lines.as_slice() {
        [] => Ok(None),
        [line] if has_range && is_strong(line) => Ok(Some((*line).into())),
        _ => Err(Single::Conditional(header::IF_RANGE)),
    }
}

/// Whether `text` is a strong entity-tag (RFC 9110 section 8.8.3).
fn is_strong(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| inner.iter().all(|byte| *byte == 0x21 || (0x23..=0x7e).contains(byte) || *byte >= 0x80))
}

/// The range that is asked for, in one form; `None` where the whole is.
pub(super) fn canonical(headers: &HeaderMap) -> Option<Box<[u8]>> {
    let lines: Vec<&[u8]> = headers.get_all(header::RANGE).iter().map(http::HeaderValue::as_bytes).collect();
    let one = match lines.as_slice() {
        [] => return None,
        [line] => std::str::from_utf8(line).ok().and_then(bytes),
        // Several lines are no list here: servers differ in which one they take.
        _ => None,
    };
    Some(one.map_or_else(|| lines.join(&b"\n"[..]).into(), |range| range.into_bytes().into()))
}

/// `bytes=0-1, -5` without blanks, its unit in lower case; `None` where it is something else.
fn bytes(line: &str) -> Option<String> {
    let (unit, set) = line.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let ranges: Option<Vec<&str>> = set
        .split(',')
        .map(|range| {
            let range = range.trim_matches([' ', '\t']);
            let (first, last) = range.split_once('-')?;
            let is_range = is_number(first) && is_number(last) && !(first.is_empty() && last.is_empty());
            is_range.then_some(range)
        })
        .collect();
    Some(format!("bytes={}", ranges?.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_certain_body_is_shared_and_what_servers_read_differently_is_not() {
        let of = |method: Method, fields: &[(header::HeaderName, &str)]| {
            let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            validator(&method, &headers).map_err(drop)
        };
        let (range, tag) = ((header::RANGE, "bytes=0-9"), (header::IF_RANGE, "\"a\""));
        assert_eq!(of(Method::GET, &[range.clone(), tag.clone()]), Ok(Some(b"\"a\""[..].into())));
        assert_eq!(of(Method::GET, std::slice::from_ref(&range)), Ok(None));
        assert_eq!(of(Method::GET, std::slice::from_ref(&tag)), Err(()), "no range");
        assert_eq!(of(Method::HEAD, &[range.clone(), tag]), Err(()), "HEAD has none");
        for other in ["W/\"a\"", "\"a", "\"", "a", "\"a\"b\"", "Mon, 02 Nov 2026 10:00:00 GMT"] {
            assert_eq!(of(Method::GET, &[range.clone(), (header::IF_RANGE, other)]), Err(()), "{other}");
        }
    }

    #[test]
    fn ranges_are_one_in_all_spellings_and_what_is_none_is_only_itself() {
        let of = |line: &str| {
            let headers: HeaderMap = [(header::RANGE, line.parse().unwrap())].into_iter().collect();
            String::from_utf8(canonical(&headers).unwrap().into()).unwrap()
        };
        for (line, expected) in [
            ("bytes=0-9", "bytes=0-9"),
            ("Bytes=0-9", "bytes=0-9"),
            ("bytes=0-1 ,\t-5", "bytes=0-1,-5"),
            ("bytes= 5-", "bytes=5-"),
            // Not to be joined to something that is a range.
            ("bytes=1 0-5", "bytes=1 0-5"),
            ("bytes=10 -5", "bytes=10 -5"),
            ("by tes=0-5", "by tes=0-5"),
            ("bytes =0-5", "bytes =0-5"),
            ("bytes=-", "bytes=-"),
            ("bytes=0-1,", "bytes=0-1,"),
            ("Lines=0-5", "Lines=0-5"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
        let mut two = HeaderMap::new();
        two.append(header::RANGE, "bytes=0-1".parse().unwrap());
        two.append(header::RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(canonical(&two).as_deref(), Some(&b"bytes=0-1\nbytes=2-3"[..]));
        assert_eq!(canonical(&HeaderMap::new()), None);
    }
}
