// tus-js-client, as it is, against a tus server: one file in several uploads at the same time that are concatenated; one whose length is
// said last, in pieces; one in pieces, given up and found again. Prints the URLs of the three as a line of JSON.
//
//   tools/node node media-tests/judges/tus.mjs ENDPOINT FILE
import { createReadStream, statSync } from "node:fs";
import { Readable } from "node:stream";
import * as tus from "tus-js-client";

const [endpoint, file] = process.argv.slice(2);
const size = statSync(file).size;
const chunkSize = 6 * 1024 * 1024;

function upload(source, options) {
  return new Promise((resolve, reject) => {
    const sent = new tus.Upload(source, {
      endpoint,
      retryDelays: [100, 500, 2000],
      metadata: { filename: "film.mp4", chain: "none" },
      ...options,
      onError: reject,
      onSuccess: () => resolve(sent.url),
    });
    sent.start();
  });
}

async function interrupted() {
  const options = { endpoint, chunkSize, uploadSize: size, metadata: { filename: "film.mp4", chain: "none" } };
  const url = await new Promise((resolve, reject) => {
    const first = new tus.Upload(createReadStream(file), {
      ...options,
      onError: reject,
      onSuccess: () => reject(new Error("it was to be given up after its first piece")),
      onChunkComplete: () => first.abort().then(() => resolve(first.url), reject),
    });
    first.start();
  });
  const head = await fetch(url, { method: "HEAD", headers: { "tus-resumable": "1.0.0" } });
  const offset = Number(head.headers.get("upload-offset"));
  if (!(offset > 0 && offset < size)) throw new Error(`it stands at ${offset} of ${size}`);
  return upload(createReadStream(file), { ...options, uploadUrl: url, endpoint });
}

const parallel = await upload(createReadStream(file), { parallelUploads: 4 });
const deferred = await upload(Readable.from(createReadStream(file)), { uploadLengthDeferred: true, chunkSize });
const resumed = await interrupted();
console.log(JSON.stringify({ parallel, deferred, resumed }));
