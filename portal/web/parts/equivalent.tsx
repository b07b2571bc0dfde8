// What a button does, as commands: everything here can be scripted.

import { isOpen, session } from '../api/session';
import { type Command, typed } from '../pure/commands';

/** `flame` is without the program's name; `curl` is the request's method, path and further arguments. `more`: of the other buttons around. */
export function Equivalent({ flame, curl, more = [] }: Command & { more?: readonly Command[] }) {
  const wants_token = session.value !== null && !isOpen(session.value);
  const all: Command[] = [...(flame === undefined && curl === undefined ? [] : [{ ...(flame !== undefined && { flame }), ...(curl !== undefined && { curl }) }]), ...more];
  return (
    <details class="equivalent">
      <summary>As a command</summary>
      {all.map((one, at) => (
        <div key={at}>
          {one.what && <span>{one.what}</span>}
          {typed(one, location.origin, wants_token).map((text, line) => <pre key={line} tabIndex={0}>{text}</pre>)}
        </div>
      ))}
    </details>
  );
}
