// Figures as people read them.

const two = (number: number) => String(number).padStart(2, '0');

/** Media time: `1:05`, `2:00:03`. */
export function clock(ms: number): string {
  const [hours, minutes, seconds] = [ms / 3600000, (ms / 60000) % 60, (ms / 1000) % 60].map(Math.floor) as [number, number, number];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** Bytes in binary steps: `512 B`, `1.5 MiB`. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const scaled = count / 1024 ** step;
  return `${step === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[step]}`;
}

/** A rate in decimal steps, as codecs count: `96 kb/s`, `2.4 Mb/s`. */
export function rate(bps: number): string {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mb/s` : `${Math.round(bps / 1000)} kb/s`;
}

/** A span from microseconds: `180 µs`, `4.2 ms`, `1.3 s`. */
export function span(us: number): string {
  if (us < 1000) return `${Math.round(us)} µs`;
  return us < 1e6 ? `${(us / 1000).toFixed(us < 10000 ? 1 : 0)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

/** How often a second: `0.5/s`, `12/s`. */
export function perSecond(rate: number): string {
  return `${rate < 10 ? Number(rate.toFixed(1)) : Math.round(rate)}/s`;
}

/** A measured number, as far as its digits say something: `0.98765`, `41.23`, `-23`. */
export function figure(value: number): string {
  return String(Number(value.toPrecision(5)));
}

/** How long ago: `just now`, `3 min ago`, else the date. */
export function ago(then: string, now: number): string {
  const seconds = (now - Date.parse(then)) / 1000;
  if (!(seconds >= 45)) return 'just now';
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return then.slice(0, 10);
}

/** The short form of a name, as addresses show it: `streaming.main` is `streaming`. */
export function short(name: string): string {
  const [first, second, ...more] = name.split('.');
  return second === 'main' && more.length === 0 ? first! : name;
}

/** Enough of an endpoint's identifier to tell one from another: its end is random. */
export function tail(endpoint: string): string {
  return endpoint.length > 16 ? `…${endpoint.slice(-8)}` : endpoint;
}

/** An argument of a shell command. */
export function quoted(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Media as the quality service calls it: an asset's identifier and what of it (`source`, a track), or no asset. */
export function parted(name: string): { asset: string | null; rest: string } {
  const [, asset, rest = ''] = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\/(.+))?$/i.exec(name) ?? [];
  return { asset: asset ?? null, rest };
}

const NOT_SIGNED_IN: Record<string, string> = {
  busy: 'Many people sign in just now: try again in a moment.',
  open: 'You came by a way on which others could listen: come by https://, or ask whoever runs this.',
  issuer: 'The issuer cannot be used just now; the router\'s log says why.',
  unknown: 'This sign-in was not begun in this browser, or too long ago: begin again.',
  refused: 'The issuer has signed nobody in.',
  nobody: 'You are known to the issuer, but may do nothing here: ask whoever runs this for a role.',
};

/** What is said to somebody whom the issuer has sent back with this word; nothing where the word is none of ours. */
export function notSignedIn(word: string | null): string {
  return (word !== null && Object.hasOwn(NOT_SIGNED_IN, word) && NOT_SIGNED_IN[word]) || '';
}

/** What people call an issuer: its host, and where it has several realms, its path. */
export function issuerName(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `${host}${pathname === '/' ? '' : pathname}`;
  } catch {
    return url;
  }
}
