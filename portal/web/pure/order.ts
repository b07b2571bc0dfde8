// Jobs as the transcode service is asked for them.

import type { Asset } from '../api/types';

/** `document`: a chain of one's own, which must name itself as `chain` says. */
export function order(id: string, { id: asset_id, source, probe }: Asset, chain: string, document?: string): object {
  return { id, asset_id, chain, source_key: source.key, probe, ...(document !== undefined && { document }) };
}
