//! Object operations.

use s3s::S3Request;
use s3s::dto::*;

use super::super::data::EtagKind;
use super::super::error::{BackendError, Result};
use super::super::intents::Place;
use super::super::key;
use super::super::manifest::{Manifest, pieces};
use super::super::objects::{self, CopiedAttributes, Copy, NewObject, Preconditions, require_bucket};
use super::super::transfer::{Announced, Backend, ObjectStream};
use super::convert::{attributes_of, conditions, etag, is_modified_since, metadata, size, timestamp};

pub(super) async fn put(backend: &Backend, mut request: S3Request<PutObjectInput>) -> Result<PutObjectOutput> {
    let input = &mut request.input;
    let attributes = attributes_of!(input)?;
    let conditions = conditions(input.if_match.take(), input.if_none_match.take());
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    key::check(&key)?;
    let announced = Announced {
        size_bytes: input.content_length.and_then(|length| u64::try_from(length).ok()),
        md5_base64: input.content_md5.take(),
        checksums: Checksum {
            checksum_crc32: input.checksum_crc32.take(),
            checksum_crc32c: input.checksum_crc32c.take(),
            checksum_crc64nvme: input.checksum_crc64nvme.take(),
            checksum_sha1: input.checksum_sha1.take(),
            checksum_sha256: input.checksum_sha256.take(),
            checksum_type: None,
        },
        trailer: Announced::trailer(&request.headers, request.trailing_headers.take()),
    };
    {
        // A condition that fails now need not cost the body; it is checked again at the commit.
        let (bucket, key, conditions) = (bucket.clone(), key.clone(), conditions.clone());
        let early = move |folder: &std::sync::Arc<super::super::folder::Folder>| {
            require_bucket(folder, &bucket)?;
            conditions.check(objects::replaced(folder, &bucket, &key, &conditions)?.as_ref())
        };
        backend.run(early).await?;
    }
    let place = Place::Object { bucket: bucket.clone(), key: key.clone() };
    let written = backend.receive(request.input.body.take(), announced, EtagKind::Md5, place).await?;
    let checksums = written.checksums;
    let object = NewObject { key, etag: written.etag, attributes, upload: None, extents: vec![written.extent] };
    let pending = written.pending;
    let manifest =
        backend.run(move |folder| objects::commit(folder, &bucket, object, &conditions, Some(pending))).await?;
    Ok(PutObjectOutput {
        e_tag: Some(etag(&manifest.etag)),
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        ..Default::default()
    })
}

pub(super) async fn get(backend: &Backend, request: S3Request<GetObjectInput>) -> Result<GetObjectOutput> {
    let input = request.input;
    if input.part_number.is_some() {
        return Err(BackendError::NotOffered { feature: "reading by part number" });
    }
    let (bucket, key, tasks) = (input.bucket, input.key, backend.tasks.clone());
    let (manifest, pinned) = backend.run(move |folder| objects::open(folder, &tasks, &bucket, &key)).await?;
    check_read(
        &manifest,
        &conditions(input.if_match, input.if_none_match),
        input.if_modified_since,
        input.if_unmodified_since,
    )?;
    let (range, content_range) = satisfy(input.range, manifest.size_bytes)?;
    let stream = ObjectStream::new(backend, pieces(&manifest.extents, range.clone()), pinned);
    let attributes = &manifest.attributes;
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: Some(size(range.end - range.start)),
        content_range,
        e_tag: Some(etag(&manifest.etag)),
        last_modified: Some(timestamp(manifest.modified_unix_ms)),
        metadata: metadata(attributes),
        content_type: input.response_content_type.or_else(|| attributes.content_type.clone()),
        cache_control: input.response_cache_control.or_else(|| attributes.cache_control.clone()),
        content_disposition: input.response_content_disposition.or_else(|| attributes.content_disposition.clone()),
        content_encoding: input.response_content_encoding.or_else(|| attributes.content_encoding.clone()),
        content_language: input.response_content_language.or_else(|| attributes.content_language.clone()),
        body: Some(StreamingBlob::new(stream)),
        ..Default::default()
    })
}

pub(super) async fn head(backend: &Backend, request: S3Request<HeadObjectInput>) -> Result<HeadObjectOutput> {
    let input = request.input;
    if input.part_number.is_some() {
        return Err(BackendError::NotOffered { feature: "reading by part number" });
    }
    let (bucket, key) = (input.bucket, input.key);
    key::check(&key)?;
    let manifest = backend
        .run(move |folder| {
            require_bucket(folder, &bucket)?;
            folder.load_manifest(&bucket, &key)?.ok_or(BackendError::NoSuchKey)
        })
        .await?;
    check_read(
        &manifest,
        &conditions(input.if_match, input.if_none_match),
        input.if_modified_since,
        input.if_unmodified_since,
    )?;
    let (range, content_range) = satisfy(input.range, manifest.size_bytes)?;
    let attributes = manifest.attributes;
    Ok(HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: Some(size(range.end - range.start)),
        content_range,
        e_tag: Some(etag(&manifest.etag)),
        last_modified: Some(timestamp(manifest.modified_unix_ms)),
        metadata: metadata(&attributes),
        content_type: attributes.content_type,
        cache_control: attributes.cache_control,
        content_disposition: attributes.content_disposition,
        content_encoding: attributes.content_encoding,
        content_language: attributes.content_language,
        ..Default::default()
    })
}

pub(super) async fn copy(backend: &Backend, mut request: S3Request<CopyObjectInput>) -> Result<CopyObjectOutput> {
    let input = &mut request.input;
    let (from_bucket, from_key) = source(&input.copy_source)?;
    let replaces =
        input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let attributes = match replaces {
        true => CopiedAttributes::New(attributes_of!(input)?),
        false => CopiedAttributes::OfSource,
    };
    let copy = Copy {
        from_bucket,
        from_key,
        source_conditions: conditions(input.copy_source_if_match.take(), input.copy_source_if_none_match.take()),
        to_bucket: input.bucket.clone(),
        to_key: input.key.clone(),
        attributes,
    };
    let tasks = backend.tasks.clone();
    let manifest = backend
        .run(move |folder| {
            folder.check_space(0)?;
            objects::copy(folder, &tasks, copy)
        })
        .await?;
    let result = CopyObjectResult {
        e_tag: Some(etag(&manifest.etag)),
        last_modified: Some(timestamp(manifest.modified_unix_ms)),
        ..Default::default()
    };
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
}

pub(super) async fn delete(backend: &Backend, request: S3Request<DeleteObjectInput>) -> Result<DeleteObjectOutput> {
    let input = request.input;
    let conditions = conditions(input.if_match, None);
    backend.run(move |folder| objects::delete(folder, &input.bucket, &input.key, &conditions)).await?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_many(
    backend: &Backend,
    request: S3Request<DeleteObjectsInput>,
) -> Result<DeleteObjectsOutput> {
    let DeleteObjectsInput { bucket, delete, .. } = request.input;
    if delete.objects.len() > 1000 {
        return Err(BackendError::InvalidArgument("at most 1000 keys can be deleted at once".to_owned()));
    }
    let quiet = delete.quiet.unwrap_or(false);
    let results = backend
        .run(move |folder| {
            require_bucket(folder, &bucket)?;
            let delete_one = |object: ObjectIdentifier| {
                let result = objects::delete(folder, &bucket, &object.key, &Preconditions::default());
                (object.key, result)
            };
            Ok(delete.objects.into_iter().map(delete_one).collect::<Vec<_>>())
        })
        .await?;
    let mut output = DeleteObjectsOutput::default();
    for (key, result) in results {
        match result {
            Ok(()) if quiet => {}
            Ok(()) => {
                output.deleted.get_or_insert_default().push(DeletedObject { key: Some(key), ..Default::default() })
            }
            Err(error) => {
                let error = s3s::S3Error::from(error);
                output.errors.get_or_insert_default().push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    key: Some(key),
                    version_id: None,
                });
            }
        }
    }
    Ok(output)
}

/// Bucket and key of a copy's source.
pub(super) fn source(source: &CopySource) -> Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, version_id: None } => Ok((bucket.to_string(), key.to_string())),
        CopySource::Bucket { version_id: Some(_), .. } => Err(BackendError::NotOffered { feature: "versioning" }),
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(BackendError::NotOffered { feature: "copying from an access point or outpost" })
        }
    }
}

/// RFC 9110 section 13.2.2: ETag conditions come first, and a date counts only without its ETag condition.
fn check_read(
    manifest: &Manifest,
    conditions: &Preconditions,
    modified_since: Option<Timestamp>,
    unmodified_since: Option<Timestamp>,
) -> Result<()> {
    conditions.check_read(manifest)?;
    if let (None, Some(since)) = (&conditions.if_match, unmodified_since)
        && is_modified_since(manifest.modified_unix_ms, since)
    {
        return Err(BackendError::PreconditionFailed);
    }
    if let (None, Some(since)) = (&conditions.if_none_match, modified_since)
        && !is_modified_since(manifest.modified_unix_ms, since)
    {
        return Err(BackendError::NotModified);
    }
    Ok(())
}

/// The bytes a `Range` header means, and the `Content-Range` that answers it.
fn satisfy(range: Option<Range>, size_bytes: u64) -> Result<(std::ops::Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..size_bytes, None)) };
    let range = range.check(size_bytes).map_err(|_| BackendError::InvalidRange)?;
    // `bytes=-5` of nothing: satisfiable, and empty; there is no Content-Range for that.
    let content_range = (!range.is_empty()).then(|| format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1));
    Ok((range, content_range))
}
