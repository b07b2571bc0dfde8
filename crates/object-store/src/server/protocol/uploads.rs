//! Multipart operations.

use s3s::S3Request;
use s3s::dto::*;

use super::super::data::{EtagKind, Written};
use super::super::error::{BackendError, Result};
use super::super::manifest::{PartRecord, UploadId, pieces};
use super::super::objects;
use super::super::transfer::{Announced, Backend, MAX_BODY_BYTES, ObjectStream};
use super::super::uploads;
use super::convert::{KeyEncoding, attributes_of, conditions, etag, named_part, page_size, size, timestamp, upload_id};
use super::objects::source;

/// Which part of which upload a body belongs to.
struct Target {
    bucket: String,
    key: String,
    upload: UploadId,
    number: u16,
}

pub(super) async fn create(
    backend: &Backend,
    mut request: S3Request<CreateMultipartUploadInput>,
) -> Result<CreateMultipartUploadOutput> {
    let input = &mut request.input;
    let attributes = attributes_of!(input)?;
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let id = {
        let (bucket, key) = (bucket.clone(), key.clone());
        let create = move |folder: &std::sync::Arc<super::super::folder::Folder>| {
            folder.check_space(0)?;
            uploads::create(folder, &bucket, &key, attributes)
        };
        backend.run(create).await?
    };
    Ok(CreateMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(id.to_string()),
        ..Default::default()
    })
}

pub(super) async fn upload_part(
    backend: &Backend,
    mut request: S3Request<UploadPartInput>,
) -> Result<UploadPartOutput> {
    let input = &mut request.input;
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
    let target = Target {
        upload: upload_id(&input.upload_id)?,
        number: uploads::parse_number(input.part_number)?,
        bucket: input.bucket.clone(),
        key: input.key.clone(),
    };
    let (part, checksums) = receive_part(backend, target, input.body.take(), announced).await?;
    Ok(UploadPartOutput {
        e_tag: Some(etag(&part.etag)),
        checksum_crc32: checksums.checksum_crc32,
        checksum_crc32c: checksums.checksum_crc32c,
        checksum_crc64nvme: checksums.checksum_crc64nvme,
        checksum_sha1: checksums.checksum_sha1,
        checksum_sha256: checksums.checksum_sha256,
        ..Default::default()
    })
}

pub(super) async fn copy_part(
    backend: &Backend,
    request: S3Request<UploadPartCopyInput>,
) -> Result<UploadPartCopyOutput> {
    let input = request.input;
    let (from_bucket, from_key) = source(&input.copy_source)?;
    let tasks = backend.tasks.clone();
    let (manifest, pinned) = backend.run(move |folder| objects::open(folder, &tasks, &from_bucket, &from_key)).await?;
    conditions(input.copy_source_if_match, input.copy_source_if_none_match).check(Some(&manifest))?;
    let range = match input.copy_source_range {
        Some(text) => {
            let range = Range::parse(&text).map_err(|_| BackendError::InvalidRange)?;
            range.check(manifest.size_bytes).map_err(|_| BackendError::InvalidRange)?
        }
        None => 0..manifest.size_bytes,
    };
    let size_bytes = range.end - range.start;
    if size_bytes > MAX_BODY_BYTES {
        return Err(BackendError::TooLarge { limit_bytes: MAX_BODY_BYTES });
    }
    let target = Target {
        upload: upload_id(&input.upload_id)?,
        number: uploads::parse_number(input.part_number)?,
        bucket: input.bucket,
        key: input.key,
    };
    let linked = {
        let place = uploads::place(&target.bucket, &target.key, target.upload, target.number);
        let (manifest, range) = (manifest.clone(), range.clone());
        backend.run(move |folder| uploads::link_part(folder, place, &manifest, &range)).await?
    };
    let part = match linked {
        Some(written) => commit_part(backend, target, written).await?,
        None => {
            // The bytes pass through the hash, because the part's ETag is made of them.
            let stream = ObjectStream::new(backend, pieces(&manifest.extents, range), pinned);
            let announced = Announced { size_bytes: Some(size_bytes), ..Announced::default() };
            receive_part(backend, target, Some(StreamingBlob::new(stream)), announced).await?.0
        }
    };
    let result = CopyPartResult {
        e_tag: Some(etag(&part.etag)),
        last_modified: Some(timestamp(part.modified_unix_ms)),
        ..Default::default()
    };
    Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() })
}

async fn receive_part(
    backend: &Backend,
    target: Target,
    body: Option<StreamingBlob>,
    announced: Announced,
) -> Result<(PartRecord, Checksum)> {
    let Target { bucket, key, upload, number } = target;
    {
        // An upload that does not exist need not cost the body; it is checked again at the commit.
        let (bucket, key) = (bucket.clone(), key.clone());
        backend.run(move |folder| uploads::find(folder, &bucket, &key, upload)).await?;
    }
    let place = uploads::place(&bucket, &key, upload, number);
    let mut written = backend.receive(body, announced, EtagKind::Crc64, place).await?;
    let checksums = std::mem::take(&mut written.checksums);
    let part = commit_part(backend, Target { bucket, key, upload, number }, written).await?;
    Ok((part, checksums))
}

async fn commit_part(backend: &Backend, target: Target, written: Written) -> Result<PartRecord> {
    let Target { bucket, key, upload, number } = target;
    backend.run(move |folder| uploads::commit_part(folder, &bucket, &key, upload, number, written)).await
}

pub(super) async fn complete(
    backend: &Backend,
    request: S3Request<CompleteMultipartUploadInput>,
) -> Result<CompleteMultipartUploadOutput> {
    let input = request.input;
    let id = upload_id(&input.upload_id)?;
    let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let parts = parts.into_iter().map(named_part).collect::<Result<Vec<_>>>()?;
    let conditions = conditions(input.if_match, input.if_none_match);
    let (bucket, key) = (input.bucket, input.key);
    let location = format!("/{bucket}/{key}");
    let manifest = {
        let (bucket, key) = (bucket.clone(), key.clone());
        backend.run(move |folder| uploads::complete(folder, &bucket, &key, id, &parts, &conditions)).await?
    };
    Ok(CompleteMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        location: Some(location),
        e_tag: Some(etag(&manifest.etag)),
        ..Default::default()
    })
}

pub(super) async fn abort(
    backend: &Backend,
    request: S3Request<AbortMultipartUploadInput>,
) -> Result<AbortMultipartUploadOutput> {
    let input = request.input;
    let id = upload_id(&input.upload_id)?;
    backend.run(move |folder| uploads::abort(folder, &input.bucket, &input.key, id)).await?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) async fn list_parts(backend: &Backend, request: S3Request<ListPartsInput>) -> Result<ListPartsOutput> {
    let input = request.input;
    let id = upload_id(&input.upload_id)?;
    let limit = page_size(input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or(0);
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let mut parts = backend
        .run(move |folder| {
            uploads::find(folder, &bucket, &key, id)?;
            uploads::parts(folder, &bucket, id)
        })
        .await?;
    parts.retain(|part| i32::from(part.number) > marker);
    let is_truncated = parts.len() > limit;
    parts.truncate(limit);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        part_number_marker: Some(marker),
        next_part_number_marker: parts.last().map(|part| part.number.into()),
        max_parts: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        parts: Some(parts.iter().map(spell_part).collect()),
        ..Default::default()
    })
}

fn spell_part(part: &PartRecord) -> Part {
    Part {
        part_number: Some(part.number.into()),
        e_tag: Some(etag(&part.etag)),
        size: Some(size(part.extent.size_bytes)),
        last_modified: Some(timestamp(part.modified_unix_ms)),
        ..Default::default()
    }
}

pub(super) async fn list(
    backend: &Backend,
    request: S3Request<ListMultipartUploadsInput>,
) -> Result<ListMultipartUploadsOutput> {
    let input = request.input;
    if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(BackendError::NotOffered { feature: "a delimiter when listing uploads" });
    }
    let limit = page_size(input.max_uploads)?;
    let (bucket, prefix) = (input.bucket.clone(), input.prefix.clone().unwrap_or_default());
    let mut found = backend.run(move |folder| uploads::list(folder, &bucket, &prefix)).await?;
    if let Some(key) = &input.key_marker {
        // The page before ended within the uploads of this key, or with the last of them.
        let seen = input
            .upload_id_marker
            .as_ref()
            .and_then(|marker| found.iter().position(|(id, record)| record.key == *key && id.to_string() == *marker));
        match seen {
            Some(position) => drop(found.drain(..=position)),
            None => found.retain(|(_, record)| record.key > *key),
        }
    }
    let is_truncated = found.len() > limit;
    found.truncate(limit);
    let encoding = KeyEncoding::new(input.encoding_type.as_ref());
    let last = found.last().filter(|_| is_truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.map(|prefix| encoding.encode(prefix)),
        key_marker: input.key_marker.map(|key| encoding.encode(key)),
        upload_id_marker: input.upload_id_marker,
        next_key_marker: last.map(|(_, record)| encoding.encode(record.key.clone())),
        next_upload_id_marker: last.map(|(id, _)| id.to_string()),
        max_uploads: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        encoding_type: input.encoding_type,
        uploads: Some(
            found
                .into_iter()
                .map(|(id, record)| MultipartUpload {
                    key: Some(encoding.encode(record.key)),
                    upload_id: Some(id.to_string()),
                    initiated: Some(timestamp(record.initiated_unix_ms)),
                    ..Default::default()
                })
                .collect(),
        ),
        ..Default::default()
    })
}
