// Takes files by drag and drop or by choice and uploads them by tus, several at once; an upload that breaks off goes on where it
// stopped.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Upload as Tus } from 'tus-js-client';
import { request } from '../pure/commands';
import { bytes, quoted } from '../pure/words';
import { Equivalent } from './equivalent';

type Sending = { key: number; name: string; size: number; sent: number; state: 'sending' | 'done' | 'failed' | 'stopped'; detail: string; url: string };
type Waiting = { key: number; file: File; chain: string };
const AT_ONCE = 3;
const RETRIES_MS = [0, 1000, 3000, 5000, 10000];

export function Upload({ chains, onDone }: { chains: string[]; onDone: () => void }) {
  const [all, setAll] = useState<Sending[]>([]);
  const [dragged, setDragged] = useState(false);
  const [chain, setChain] = useState('ladder');
  const input = useRef<HTMLInputElement>(null);
  const waiting = useRef<Waiting[]>([]);
  const running = useRef(new Map<number, Tus | null>());
  const last = useRef(0);
  const isGone = useRef(false);
  // Whoever signs out sends nothing more. What was received stays: the same file goes on from there.
  useEffect(() => () => {
    isGone.current = true;
    waiting.current = [];
    for (const upload of running.current.values()) upload?.abort().catch(() => {});
    running.current.clear();
  }, []);

  const change = (key: number, what: Partial<Sending>) => setAll((all) => all.map((one) => (one.key === key ? { ...one, ...what } : one)));
  const next = () => {
    while (running.current.size < AT_ONCE) {
      const one = waiting.current.shift();
      if (!one) return;
      // The place is taken at once: what follows waits for the client and for what it remembers.
      running.current.set(one.key, null);
      send(one).catch((error: unknown) => over(one.key, { state: 'failed', detail: said(error) }));
    }
  };
  const over = (key: number, what: Partial<Sending>) => {
    if (isGone.current) return;
    running.current.delete(key);
    change(key, what);
    next();
    onDone();
  };
  const send = async ({ key, file, chain }: Waiting) => {
    const { Upload } = await import('tus-js-client');
    const upload = new Upload(file, {
      endpoint: '/~ingest/uploads', retryDelays: RETRIES_MS, removeFingerprintOnSuccess: true,
      metadata: { filename: file.name, title: file.name, chain },
      onProgress: (sent) => change(key, { sent }),
      onUploadUrlAvailable: () => change(key, { url: new URL(upload.url!, location.origin).pathname }),
      onSuccess: () => over(key, { state: 'done', sent: file.size }),
      onError: (error) => over(key, { state: 'failed', detail: said(error) }),
    });
    const [before] = await upload.findPreviousUploads();
    // It may have been stopped meanwhile.
    if (!running.current.has(key)) return;
    running.current.set(key, upload);
    if (before) upload.resumeFromPreviousUpload(before);
    upload.start();
  };
  const take = (files: FileList | null) => {
    for (const file of files ?? []) {
      const key = (last.current += 1);
      waiting.current.push({ key, file, chain });
      setAll((all) => [...all, { key, name: file.name, size: file.size, sent: 0, state: 'sending', detail: '', url: '' }]);
    }
    next();
  };
  const stop = (key: number) => {
    waiting.current = waiting.current.filter((one) => one.key !== key);
    // What was received is deleted; if that fails, it expires.
    running.current.get(key)?.abort(true).catch(() => {});
    over(key, { state: 'stopped', detail: 'Stopped' });
  };
  const sending = all.find(({ state, url }) => state === 'sending' && url !== '');
  return (
    <section
      class={dragged ? 'drop over' : 'drop'} aria-label="Upload"
      onDragOver={(event) => { event.preventDefault(); setDragged(true); }} onDragLeave={() => setDragged(false)}
      onDrop={(event) => { event.preventDefault(); setDragged(false); take(event.dataTransfer?.files ?? null); }}
    >
      <div class="row">
        <span>Drop videos here, or</span>
        <button type="button" onClick={() => input.current?.click()}>choose files</button>
        <input ref={input} type="file" multiple hidden aria-label="Files" onChange={(event) => { take(event.currentTarget.files); event.currentTarget.value = ''; }} />
        <label>and run <select value={chain} onChange={(event) => setChain(event.currentTarget.value)}>
          {[...new Set(['ladder', ...chains, 'none'])].map((name) => <option key={name}>{name}</option>)}
        </select></label>
      </div>
      <Equivalent flame={`ingest FILE --chain ${quoted(chain)}`} curl={`-X POST {origin}/~ingest/uploads -H 'tus-resumable: 1.0.0' -H "upload-length: $(stat -c %s FILE)" -H "upload-metadata: filename $(printf %s FILE | base64 -w 0),chain $(printf %s ${quoted(chain)} | base64 -w 0)" -H 'content-type: application/offset+octet-stream' --data-binary @FILE`}
        more={sending ? [{ what: 'Stop', curl: request('DELETE', sending.url, undefined, { 'tus-resumable': '1.0.0' }) }] : []} />
      <ul class="plain">
        {all.map((one) => (
          <li key={one.key} class="sending">
            <span class="name">{one.name}</span>
            <progress max={Math.max(one.size, 1)} value={one.sent} aria-label={`Upload of ${one.name}`} />
            <span>{one.state === 'sending' ? `${bytes(one.sent)} of ${bytes(one.size)}` : one.detail || 'Uploaded'}</span>
            {one.state === 'sending' && <button type="button" onClick={() => stop(one.key)}>Stop</button>}
          </li>
        ))}
      </ul>
    </section>
  );
}

// What the service said, without what the client says around it.
function said(error: unknown): string {
  const body = (error as { originalResponse?: { getBody(): string } }).originalResponse?.getBody();
  try {
    return (JSON.parse(body ?? '') as { detail: string }).detail;
  } catch {
    return error instanceof Error ? error.message : String(error);
  }
}
