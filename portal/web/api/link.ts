// A link for whoever looks at the page, with which what is protected plays.

import { useEffect, useState } from 'preact/hooks';
import { type ViewerLink, renewal_ms } from '../pure/links';
import { Refusal, send } from './http';

/** Until a link is asked for again that could not be had. */
const AGAIN_MS = 5000;

export const linksOf = (asset: string) => `/~streaming/assets/${encodeURIComponent(asset)}/viewer-links`;

/** One for this asset, renewed before it ends; `refused`: why there is none. Nothing is asked for without an asset. */
export function useViewerLink(asset: string | null): { link: ViewerLink | null; refused: string } {
  const [link, setLink] = useState<ViewerLink | null>(null);
  const [refused, setRefused] = useState('');
  useEffect(() => {
    setLink(null);
    setRefused('');
    if (asset === null) return;
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let before: ViewerLink | null = null;
    const look = async () => {
      try {
        const answer = await send('POST', linksOf(asset));
        const found = await answer.json() as ViewerLink;
        if (gone) return;
        // What it is by the clock of whoever signed it: the browser's may go otherwise.
        const wait_ms = renewal_ms(found, before, Date.parse(answer.headers.get('date') ?? '') || Date.now());
        // One that ends no later is no news to whoever plays.
        if (before === null || wait_ms !== null) setLink(found);
        before = found;
        setRefused('');
        if (wait_ms !== null) timer = setTimeout(() => void look(), wait_ms);
      } catch (error) {
        if (gone) return;
        setRefused((error as Error).message);
        // What may pass is asked for again; the link that there is plays on to its end.
        if (!(error instanceof Refusal) || error.status >= 500 || error.status === 429) timer = setTimeout(() => void look(), AGAIN_MS);
      }
    };
    void look();
    return () => { gone = true; clearTimeout(timer); };
  }, [asset]);
  return { link, refused };
}
