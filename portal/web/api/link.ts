// A link for whoever looks at the page, with which what is protected plays.

import { useEffect, useRef, useState } from 'preact/hooks';
import { type ViewerLink, renewal_ms } from '../pure/links';
import { Refusal, send } from './http';

/** Until a link is asked for again that could not be had. */
const AGAIN_MS = 5000;

export const linksOf = (asset: string) => `/~streaming/assets/${encodeURIComponent(asset)}/viewer-links`;

type Linked = { link: ViewerLink | null; refused: string; again: () => void };

/**
 * One for this asset, renewed before it ends; `refused`: why there is none; `again` asks for another one at once. Nothing is asked for without an
 * asset.
 */
export function useViewerLink(asset: string | null): Linked {
  const [link, setLink] = useState<ViewerLink | null>(null);
  const [refused, setRefused] = useState('');
  const anew = useRef(() => {});
  useEffect(() => {
    setLink(null);
    setRefused('');
    if (asset === null) return;
    // The question that counts: answers to earlier ones are dropped.
    let turn = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let before: ViewerLink | null = null;
    const look = async () => {
      const mine = (turn += 1);
      clearTimeout(timer);
      try {
        const answer = await send('POST', linksOf(asset));
        const found = await answer.json() as ViewerLink;
        if (mine !== turn) return;
        // What it is by the clock of whoever signed it: the browser's may go otherwise.
        const wait_ms = renewal_ms(found, before, Date.parse(answer.headers.get('date') ?? '') || Date.now());
        // One that ends no later is no news to whoever plays.
        if (before === null || wait_ms !== null) setLink(found);
        before = found;
        setRefused('');
        if (wait_ms !== null) timer = setTimeout(() => void look(), wait_ms);
      } catch (error) {
        if (mine !== turn) return;
        setRefused((error as Error).message);
        // What may pass is asked for again; the link that there is plays on to its end.
        if (!(error instanceof Refusal) || error.status >= 500 || error.status === 429) timer = setTimeout(() => void look(), AGAIN_MS);
      }
    };
    // The one that there is opens nothing any more: the next one counts, though it may end no later.
    anew.current = () => { before = null; void look(); };
    void look();
    return () => { turn += 1; anew.current = () => {}; clearTimeout(timer); };
  }, [asset]);
  const again = useRef(() => anew.current());
  return { link, refused, again: again.current };
}
