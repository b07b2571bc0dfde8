//! `ListObjects` in both versions: one walk, two spellings.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::S3Request;
use s3s::dto::*;

use super::super::error::{BackendError, Result};
use super::super::transfer::Backend;
use super::super::walk::{self, After, Item, Page, Query};
use super::convert::{KeyEncoding, etag, page_size, size, timestamp};

/// The parts of a page as both versions spell them.
struct Spelled {
    contents: Vec<Object>,
    common_prefixes: Vec<CommonPrefix>,
}

pub(super) async fn version_2(
    backend: &Backend,
    request: S3Request<ListObjectsV2Input>,
) -> Result<ListObjectsV2Output> {
    let input = request.input;
    let after = match &input.continuation_token {
        Some(token) => Some(parse_token(token)?),
        None => input.start_after.clone().map(After::Key),
    };
    let query = query(input.prefix.clone(), input.delimiter.clone(), after, input.max_keys)?;
    let limit = query.limit;
    let bucket = input.bucket.clone();
    let page = backend.run(move |folder| walk::list(folder, &bucket, &query)).await?;
    let encoding = KeyEncoding::new(input.encoding_type.as_ref());
    let next = page.next.as_ref().map(token);
    let spelled = spell(page, encoding);
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        key_count: i32::try_from(spelled.contents.len() + spelled.common_prefixes.len()).ok(),
        max_keys: i32::try_from(limit).ok(),
        is_truncated: Some(next.is_some()),
        next_continuation_token: next,
        continuation_token: input.continuation_token,
        prefix: Some(encoding.encode(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|delimiter| encoding.encode(delimiter)),
        start_after: input.start_after.map(|key| encoding.encode(key)),
        encoding_type: input.encoding_type,
        contents: Some(spelled.contents),
        common_prefixes: Some(spelled.common_prefixes),
        ..Default::default()
    })
}

pub(super) async fn version_1(backend: &Backend, request: S3Request<ListObjectsInput>) -> Result<ListObjectsOutput> {
    let input = request.input;
    let after = input.marker.clone().filter(|marker| !marker.is_empty()).map(|marker| {
        // Version 1 goes on from a bare name; that of a common prefix ends in the delimiter.
        match input.delimiter.as_deref() {
            Some(delimiter) if !delimiter.is_empty() && marker.ends_with(delimiter) => After::CommonPrefix(marker),
            Some(_) | None => After::Key(marker),
        }
    });
    let query = query(input.prefix.clone(), input.delimiter.clone(), after, input.max_keys)?;
    let limit = query.limit;
    let bucket = input.bucket.clone();
    let page = backend.run(move |folder| walk::list(folder, &bucket, &query)).await?;
    let encoding = KeyEncoding::new(input.encoding_type.as_ref());
    let next = page.next.clone().map(|next| match next {
        After::Key(name) | After::CommonPrefix(name) => encoding.encode(name),
    });
    let spelled = spell(page, encoding);
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        max_keys: i32::try_from(limit).ok(),
        is_truncated: Some(next.is_some()),
        next_marker: next,
        marker: Some(encoding.encode(input.marker.unwrap_or_default())),
        prefix: Some(encoding.encode(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|delimiter| encoding.encode(delimiter)),
        encoding_type: input.encoding_type,
        contents: Some(spelled.contents),
        common_prefixes: Some(spelled.common_prefixes),
        ..Default::default()
    })
}

fn query(
    prefix: Option<String>,
    delimiter: Option<String>,
    after: Option<After>,
    max_keys: Option<i32>,
) -> Result<Query> {
    Ok(Query { prefix: prefix.unwrap_or_default(), delimiter, after, limit: page_size(max_keys)? })
}

fn spell(page: Page, encoding: KeyEncoding) -> Spelled {
    let mut spelled = Spelled { contents: Vec::new(), common_prefixes: Vec::new() };
    for item in page.items {
        match item {
            Item::Object(object) => spelled.contents.push(Object {
                e_tag: Some(etag(&object.etag)),
                last_modified: Some(timestamp(object.modified_unix_ms)),
                size: Some(size(object.size_bytes)),
                storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                key: Some(encoding.encode(object.key)),
                ..Default::default()
            }),
            Item::CommonPrefix(prefix) => {
                spelled.common_prefixes.push(CommonPrefix { prefix: Some(encoding.encode(prefix)) });
            }
        }
    }
    spelled
}

/// Opaque to clients; here it is the last name of the page and its kind.
fn token(after: &After) -> String {
    let text = match after {
        After::Key(key) => format!("k{key}"),
        After::CommonPrefix(prefix) => format!("p{prefix}"),
    };
    URL_SAFE_NO_PAD.encode(text)
}

fn parse_token(token: &str) -> Result<After> {
    let invalid = || BackendError::InvalidArgument("the continuation token is not one of this store".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    match (text.strip_prefix('k'), text.strip_prefix('p')) {
        (Some(key), _) => Ok(After::Key(key.to_owned())),
        (None, Some(prefix)) => Ok(After::CommonPrefix(prefix.to_owned())),
        (None, None) => Err(invalid()),
    }
}
