//! The headers of tus 1.0.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use flame_service_host::{Failure, FailureResult};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::digest::Promise;

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
pub(super) const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
pub(super) const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
pub(super) const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
pub(super) const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
pub(super) const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
pub(super) const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// The version of the protocol.
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
/// The extensions that are spoken.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration,concatenation";
/// The media type of a PATCH.
pub(super) const BODY_TYPE: &str = "application/offset+octet-stream";

/// RFC 9110 section 5.6.7, as `Upload-Expires` wants it.
const HTTP_DATE: &[BorrowedFormatItem<'static>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Extractor: the client speaks tus 1.0. Rejects with 412.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpeaksTus;

impl<S: Send + Sync> FromRequestParts<S> for SpeaksTus {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        if parts.headers.get(TUS_RESUMABLE) == Some(&VERSION) {
            return Ok(Self);
        }
        let detail = "this resource speaks tus 1.0.0: send `Tus-Resumable: 1.0.0`";
        Err(Failure::new(StatusCode::PRECONDITION_FAILED, "tus-version", "Another version of tus", detail)
            .with_header(TUS_VERSION, VERSION))
    }
}

/// The number in a header, or `None` where there is none.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> FailureResult<Option<u64>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    // `parse` would take a sign.
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = text.and_then(|text| text.parse().ok()).filter(|number| i64::try_from(*number).is_ok());
    number.map(Some).ok_or_else(|| Failure::bad_request(format!("{name} is not a number of bytes")))
}

/// The checksum that was promised.
pub(crate) fn promise(headers: &HeaderMap) -> FailureResult<Option<Promise>> {
    let Some(value) = headers.get(UPLOAD_CHECKSUM) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Failure::bad_request("Upload-Checksum is not ASCII"))?;
    Ok(Some(Promise::from_tus(text)?))
}

/// A time, as HTTP writes it.
pub(super) fn http_date(time: OffsetDateTime) -> Option<HeaderValue> {
    HeaderValue::from_str(&time.to_offset(time::UtcOffset::UTC).format(HTTP_DATE).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only() {
        let read = |text: &'static str| {
            number(&[(UPLOAD_LENGTH, HeaderValue::from_static(text))].into_iter().collect(), &UPLOAD_LENGTH)
        };
        assert_eq!(read("5242880").unwrap(), Some(5_242_880));
        for wrong in ["", "-1", "+1", "1.5", "0x10", "9223372036854775808", "99999999999999999999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        let time = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(http_date(time).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
