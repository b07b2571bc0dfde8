// A link for whoever looks at the page, with which what is protected plays.

import { useEffect, useState } from 'preact/hooks';
import { type ViewerLink, renewal_ms } from '../pure/links';
import { send } from './http';

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
    const look = async () => {
      try {
        const found = await (await send('POST', linksOf(asset))).json() as ViewerLink;
        if (gone) return;
        setLink(found);
        const wait_ms = renewal_ms(found, Date.now());
        if (wait_ms !== null) timer = setTimeout(() => void look(), wait_ms);
      } catch (error) {
        // The one that there is may play on to its end.
        if (!gone) setRefused((error as Error).message);
      }
    };
    void look();
    return () => { gone = true; clearTimeout(timer); };
  }, [asset]);
  return { link, refused };
}
