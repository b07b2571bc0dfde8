//! Cookies of the router's own (RFC 6265): they end here, and the others of a request pass on as they were.

use axum::http::{HeaderMap, HeaderValue, header};

/// The value of the cookie `name`, which is not there any more afterwards; of several the first. Values of others may be of
/// any bytes.
pub(crate) fn take(headers: &mut HeaderMap, name: &str) -> Option<Vec<u8>> {
    let is_it = |pair: &&[u8]| pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='));
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().flat_map(|field| pairs(field.as_bytes())).collect();
    let value = all.iter().find(|pair| is_it(pair))?[name.len() + 1..].to_vec();
    let kept: Vec<&[u8]> = all.into_iter().filter(|pair| !is_it(pair)).collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok().filter(|kept| !kept.is_empty());
    headers.remove(header::COOKIE);
    if let Some(kept) = kept {
        headers.insert(header::COOKIE, kept);
    }
    Some(value)
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(fields: &[&[u8]]) -> (Option<Vec<u8>>, Vec<u8>) {
        let fields = fields.iter().map(|field| (header::COOKIE, HeaderValue::from_bytes(field).unwrap()));
        let mut headers: HeaderMap = fields.collect();
        let value = take(&mut headers, "own");
        (value, headers.get(header::COOKIE).map(|kept| kept.as_bytes().to_vec()).unwrap_or_default())
    }

    #[test]
    fn only_the_own_cookie_is_taken_whatever_stands_beside_it() {
        assert_eq!(taken(&[b"a=1; own=x; b=2", b"own=y;c=3"]), (Some(b"x".to_vec()), b"a=1; b=2; c=3".to_vec()));
        assert_eq!(taken(&[b"own="]), (Some(Vec::new()), Vec::new()));
        assert_eq!(taken(&[b"owner=1; own"]), (None, b"owner=1; own".to_vec()));
        assert_eq!(taken(&[]), (None, Vec::new()));
        let strange = "name=gr\u{fc}\u{df}e".as_bytes();
        let beside = [strange, b"; own=x".as_slice()].concat();
        assert_eq!(taken(&[&beside]), (Some(b"x".to_vec()), strange.to_vec()));
    }
}
