//! The head of an answer, as it goes over the unicast leg: in the form that HTTP/1.1 gives it.

use std::collections::HashSet;

use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use bytes::{BufMut, Bytes, BytesMut};

/// Most fields of a head.
const FIELDS_MAX: usize = 100;

/// Status and fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

/// The length of a body, as far as its head says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many octets.
    Stated(u64),
    /// It ends when it ends: something that is being made, as a live segment is.
    Unsaid,
}

/// The length that the fields state; `None` where what they state is none.
pub(crate) fn length(headers: &HeaderMap) -> Option<Length> {
    match headers.get(header::CONTENT_LENGTH) {
        None => Some(Length::Unsaid),
        Some(stated) => stated.to_str().ok()?.parse().ok().map(Length::Stated),
    }
}

// === impl Head ===

impl Head {
    pub(crate) fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(format!("HTTP/1.1 {} \r\n", self.status.as_str()).as_bytes());
        for (name, value) in &self.headers {
            out.put_slice(name.as_str().as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(b"\r\n");
        }
        out.put_slice(b"\r\n");
        out.freeze()
    }

    /// Reads [`Head::write`]; `None` where it is something else.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut fields);
        let is_whole = answer.parse(octets).ok()?.is_complete();
        let status = StatusCode::from_u16(answer.code?).ok()?;
        let mut headers = HeaderMap::new();
        for field in answer.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
        // Two lengths are none.
        let lengths: HashSet<_> = headers.get_all(header::CONTENT_LENGTH).iter().collect();
        (is_whole && lengths.len() <= 1).then_some(Self { status, headers })
    }
}

impl From<&Parts> for Head {
    fn from(parts: &Parts) -> Self {
        Self { status: parts.status, headers: parts.headers.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_out_as_it_went_in() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
        headers.append(header::VIA, HeaderValue::from_static("1.1 a"));
        headers.append(header::VIA, HeaderValue::from_static("1.1 b"));
        let mut head = Head { status: StatusCode::OK, headers };
        assert_eq!(Head::read(&head.write()), Some(head.clone()));
        assert_eq!(length(&head.headers), Some(Length::Stated(7)));
        head.headers.remove(header::CONTENT_LENGTH);
        assert_eq!(Head::read(&head.write()), Some(head.clone()));
        assert_eq!(length(&head.headers), Some(Length::Unsaid));
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("-7"));
        assert_eq!(length(&head.headers), None);
    }

    #[test]
    fn what_is_no_head_of_one_body_is_refused() {
        for text in ["", "HTTP/1.1 200 \r\n", "HTTP/1.1 200 \r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"] {
            assert_eq!(Head::read(text.as_bytes()), None, "{text}");
        }
    }
}
