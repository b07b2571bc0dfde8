//! Values of the protocol from and to values of the folder.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use s3s::dto::{ETag, ETagCondition, EncodingType, Metadata, Timestamp};

use super::super::error::{BackendError, Result};
use super::super::manifest::{Attributes, UploadId};
use super::super::objects::Preconditions;
use super::super::uploads::NamedPart;

/// S3's bound on the user metadata of one object, names and values together.
const MAX_METADATA_BYTES: usize = 2 * 1024;

pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

pub(super) fn timestamp(unix_ms: i64) -> Timestamp {
    let since = Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    Timestamp::from(SystemTime::UNIX_EPOCH + since)
}

/// HTTP dates have whole seconds, so conditions on them compare whole seconds.
pub(super) fn is_modified_since(unix_ms: i64, since: Timestamp) -> bool {
    let since = time::OffsetDateTime::from(since).unix_timestamp();
    unix_ms.div_euclid(1000) > since
}

pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("no file has more than 2^63 bytes")
}

pub(super) fn conditions(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> Preconditions {
    Preconditions { if_match, if_none_match }
}

pub(super) fn upload_id(text: &str) -> Result<UploadId> {
    UploadId::parse(text).ok_or(BackendError::NoSuchUpload)
}

pub(super) fn named_part(part: s3s::dto::CompletedPart) -> Result<NamedPart> {
    let number = part
        .part_number
        .ok_or_else(|| BackendError::InvalidArgument("a part of the completion has no number".to_owned()))?;
    Ok(NamedPart { number, etag: part.e_tag.map(ETag::into_value) })
}

/// A page size within S3's 1..=1000; 0 is allowed and lists nothing.
pub(super) fn page_size(asked: Option<i32>) -> Result<usize> {
    let asked = asked.unwrap_or(1000);
    let size = usize::try_from(asked)
        .map_err(|_| BackendError::InvalidArgument(format!("a page of {asked} entries was asked for")))?;
    Ok(size.min(1000))
}

/// What a write says about its object. A macro, because S3 has the same fields in three unrelated types.
macro_rules! attributes_of {
    ($input:expr) => {
        $crate::server::protocol::convert::attributes(
            $crate::server::manifest::Attributes {
                content_type: $input.content_type.take(),
                cache_control: $input.cache_control.take(),
                content_disposition: $input.content_disposition.take(),
                content_encoding: $input.content_encoding.take(),
                content_language: $input.content_language.take(),
                metadata: Default::default(),
            },
            $input.metadata.take(),
        )
    };
}
pub(super) use attributes_of;

pub(super) fn attributes(headers: Attributes, metadata: Option<Metadata>) -> Result<Attributes> {
    let metadata: std::collections::BTreeMap<_, _> = metadata.unwrap_or_default().into_iter().collect();
    let metadata_bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata_bytes > MAX_METADATA_BYTES {
        return Err(BackendError::InvalidArgument(format!(
            "the user metadata has {metadata_bytes} bytes, {MAX_METADATA_BYTES} are allowed"
        )));
    }
    Ok(Attributes { metadata, ..headers })
}

pub(super) fn metadata(attributes: &Attributes) -> Option<Metadata> {
    let pairs: HashMap<_, _> = attributes.metadata.clone().into_iter().collect();
    (!pairs.is_empty()).then_some(pairs)
}

/// Keys in a listing, escaped if the client asked for it.
#[derive(Clone, Copy)]
pub(super) struct KeyEncoding {
    url: bool,
}

impl KeyEncoding {
    pub(super) fn new(asked: Option<&EncodingType>) -> Self {
        Self { url: asked.is_some_and(|asked| asked.as_str() == EncodingType::URL) }
    }

    pub(super) fn encode(self, key: String) -> String {
        const KEPT: &percent_encoding::AsciiSet =
            &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');
        if self.url { percent_encoding::utf8_percent_encode(&key, KEPT).to_string() } else { key }
    }
}
