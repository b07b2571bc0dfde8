// Identifiers that callers choose, so that a call that is repeated does once what it asks for.

/** A UUID of version 4 (RFC 9562); `crypto.randomUUID` is for secure contexts, and the page may be read by plain HTTP. */
export function identifier(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
}
