"""tuspy on a tus server: a file in pieces, each with its checksum, by two uploaders of which the second goes on where the first one
stopped. Prints the URL."""
import sys

from tusclient.client import TusClient

endpoint, path = sys.argv[1:]
client = TusClient(endpoint)
metadata = {"filename": "film.mp4", "chain": "none"}
piece = 6 * 1024 * 1024
first = client.uploader(path, chunk_size=piece, metadata=metadata, upload_checksum=True)
first.upload_chunk()
assert first.offset == piece, first.offset
second = client.uploader(path, chunk_size=piece, url=first.url, upload_checksum=True)
assert second.offset == piece, second.offset
second.upload()
print(second.url)
