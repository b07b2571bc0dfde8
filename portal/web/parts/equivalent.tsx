// What a button does, as commands: everything here can be scripted.

/** `flame` is without the program's name; `curl` is the request's method, path and further arguments. */
export function Equivalent({ flame, curl }: { flame?: string; curl?: string }) {
  return (
    <details class="equivalent">
      <summary>As a command</summary>
      {flame !== undefined && <pre tabIndex={0}>{`flame --router ${location.origin} ${flame}`}</pre>}
      {curl !== undefined && <pre tabIndex={0}>{`curl ${curl.replace('{origin}', location.origin)}`}</pre>}
    </details>
  );
}
