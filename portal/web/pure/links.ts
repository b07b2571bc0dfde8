// Links that play what is protected: what lies beside their playlist, and when another one is wanted.

/** `path`: of the multivariant playlist at this router; `others`: of the same by other names. `expires_at`: RFC 3339. */
export type ViewerLink = { path: string; others?: string[]; expires_at: string };

/** Another one is asked for so long before it is needed; of a short one, at its half. */
const AHEAD_MS = 60_000;
/** Timers know no longer spans. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** A file of the same asset, opened by the same link. */
export function beside({ path }: ViewerLink, file: string): string {
  return path.replace(/[^/]*$/, file);
}

/** The ways to the asset of a link, the one to begin with first. */
export function doors({ path, others = [] }: ViewerLink): string[] {
  return [path, ...others];
}

/**
 * The URL of a file of an asset as a door to that asset opens it, whoever it was asked of before, and with which link. What is of another asset, or
 * not of this router (`origin`), stays as it is.
 */
export function opened(url: string, door: string, origin: string): string {
  const folder = /\/[^/]+\/(?=[^/]*$)/.exec(door)?.[0];
  const at = folder === undefined ? -1 : url.indexOf(folder);
  if (folder === undefined || at < 0 || !url.startsWith(`${origin}/~`)) return url;
  return `${origin}${door.slice(0, door.lastIndexOf(folder))}${url.slice(at)}`;
}

/** Which of `count` doors is next, where nobody answered at the door `failed`: several requests that fail at one door leave it once. */
export function turned(now: number, failed: number, count: number): number {
  return now === failed ? (now + 1) % count : now;
}

/** Which door requests go through, and what became of them: the one that is open when a request is sent is the one that did not answer it. */
export class Doorkeeper {
  #now = 0;
  readonly #sent = new WeakMap<object, number>();

  /** The door of `count` that is open now. */
  at(count: number): number {
    return this.#now % count;
  }

  /** The same, for a request that is sent now. */
  sends(request: object, count: number): number {
    const at = this.at(count);
    this.#sent.set(request, at);
    return at;
  }

  /** Nobody answered a request, or it was refused. One that was sent through another door than the open one turns nothing, nor does an unknown one. */
  failed(request: object | null | undefined, count: number): void {
    const at = request ? this.#sent.get(request) : undefined;
    if (at !== undefined) this.#now = turned(this.at(count), at, count);
  }
}

/**
 * How long until another link is asked for. Never where this one ends no later than the one `before`: it ends with who is signed in, and so would
 * the next. `now_ms`: by the clock of whoever signed it.
 */
export function renewal_ms(link: ViewerLink, before: ViewerLink | null, now_ms: number): number | null {
  const end_ms = Date.parse(link.expires_at);
  if (before !== null && end_ms <= Date.parse(before.expires_at)) return null;
  const left_ms = end_ms - now_ms;
  return left_ms > 0 ? Math.min(Math.max(left_ms / 2, left_ms - AHEAD_MS), TIMER_MAX_MS) : null;
}
