// What only some may do is shown to them alone.

import type { ComponentChildren } from 'preact';
import { may } from '../api/session';

export function May({ scope = 'write', children }: { scope?: 'write' | 'admin'; children: ComponentChildren }) {
  return may(scope) ? <>{children}</> : null;
}
