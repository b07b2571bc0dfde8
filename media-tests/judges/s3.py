"""boto3 on an S3 server: what its makers' client asks for, and what it has to be refused. Prints `whole` at the end.

s3.py ENDPOINT ACCESS_KEY SECRET_KEY BUCKET
"""
import hashlib
import io
import os
import sys
import time
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError

endpoint, access, secret, bucket = sys.argv[1:]
MIB = 1 << 20


def client(secret=secret):
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1})
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access,
                        aws_secret_access_key=secret, config=config)


def refused(codes, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in codes, (code, codes)
        return
    raise AssertionError(f"{call} {arguments} was not refused")


def fetched(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


s3 = client()
body = os.urandom(21 * MIB + 17)

# In parts, several at once, with the checksums that the client adds by itself; back in ranges.
transfer = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
s3.upload_fileobj(io.BytesIO(body), bucket, "boto/whole", Config=transfer, ExtraArgs={"ContentType": "video/mp4", "Metadata": {"take": "2"}})
head = s3.head_object(Bucket=bucket, Key="boto/whole")
assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (len(body), "video/mp4", {"take": "2"}), head
back = io.BytesIO()
s3.download_fileobj(bucket, "boto/whole", back, Config=transfer)
assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(body).digest()
for asked, want in [("bytes=0-9", body[:10]), (f"bytes={6 * MIB}-{6 * MIB + 99}", body[6 * MIB:6 * MIB + 100]), ("bytes=-7", body[-7:])]:
    got = s3.get_object(Bucket=bucket, Key="boto/whole", Range=asked)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206 and got["Body"].read() == want, asked
refused({"InvalidRange"}, s3.get_object, Bucket=bucket, Key="boto/whole", Range=f"bytes={len(body)}-")
refused({"304", "NotModified"}, s3.get_object, Bucket=bucket, Key="boto/whole", IfNoneMatch=head["ETag"])
refused({"PreconditionFailed"}, s3.put_object, Bucket=bucket, Key="boto/whole", Body=b"x", IfNoneMatch="*")

# Listings: pages, folders, names that have to be written in another way.
names = sorted(f"boto/list/{folder}/{name}" for folder in ("a", "b") for name in ("1", "2 %", "ä+é", "z&<"))
for name in names:
    s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="boto/list/", PaginationConfig={"PageSize": 3})
listed = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
assert listed == names, listed
folders = s3.list_objects_v2(Bucket=bucket, Prefix="boto/list/", Delimiter="/")
assert [entry["Prefix"] for entry in folders["CommonPrefixes"]] == ["boto/list/a/", "boto/list/b/"], folders
s3.copy_object(Bucket=bucket, Key="boto/copy", CopySource={"Bucket": bucket, "Key": names[2]})
assert s3.get_object(Bucket=bucket, Key="boto/copy")["Body"].read() == names[2].encode()
gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names]})
assert len(gone["Deleted"]) == len(names) and "Errors" not in gone, gone
refused({"404", "NoSuchKey"}, s3.get_object, Bucket=bucket, Key=names[0])

# An upload that is wrong, or given up.
upload = s3.create_multipart_upload(Bucket=bucket, Key="boto/parts")["UploadId"]
of = {"Bucket": bucket, "Key": "boto/parts", "UploadId": upload}
tags = [s3.upload_part(PartNumber=number, Body=bytes([number]) * 1000, **of)["ETag"] for number in (1, 2)]
parts = [{"PartNumber": number, "ETag": tag} for number, tag in zip((1, 2), tags)]
refused({"EntityTooSmall"}, s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **of)
refused({"InvalidPart"}, s3.complete_multipart_upload, MultipartUpload={"Parts": [{"PartNumber": 3, "ETag": tags[0]}]}, **of)
assert [part["PartNumber"] for part in s3.list_parts(**of)["Parts"]] == [1, 2]
assert upload in [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket, Prefix="boto/parts")["Uploads"]]
s3.abort_multipart_upload(**of)
refused({"NoSuchUpload"}, s3.list_parts, **of)
refused({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"}, s3.put_object, Bucket=bucket, Key="boto/lie", Body=b"truth",
        ChecksumSHA256="47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")

# Links: as they are, changed, of somebody else, and too late.
link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "boto/copy"}, ExpiresIn=60)
assert fetched(link) == (200, names[2].encode())
assert fetched(link.replace("boto/copy", "boto/whole"))[0] == 403
put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "boto/put"}, ExpiresIn=60)
assert fetched(put, "PUT", b"by a link")[0] == 200
assert s3.get_object(Bucket=bucket, Key="boto/put")["Body"].read() == b"by a link"
assert fetched(put, "DELETE")[0] == 403
late = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "boto/copy"}, ExpiresIn=1)
patience = time.monotonic() + 30
while fetched(late)[0] == 200 and time.monotonic() < patience:
    time.sleep(0.1)
assert fetched(late)[0] == 403, fetched(late)
stranger = client("another secret")
refused({"SignatureDoesNotMatch"}, stranger.list_objects_v2, Bucket=bucket)
refused({"SignatureDoesNotMatch"}, stranger.put_object, Bucket=bucket, Key="boto/whole", Body=b"stolen")
assert fetched(f"{endpoint}/{bucket}/boto/copy")[0] == 403
assert s3.head_object(Bucket=bucket, Key="boto/whole")["ContentLength"] == len(body)
refused({"NoSuchBucket", "404"}, s3.list_objects_v2, Bucket="nobody-s")

for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="boto/"):
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": entry["Key"]} for entry in page["Contents"]]})
print("whole")
