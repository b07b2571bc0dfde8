import { describe, expect, test } from 'vitest';

const sources = import.meta.glob<string>(['../**/*.ts', '../**/*.tsx', '!../test/**'], { query: '?raw', import: 'default', eager: true });
const count = (text: string, what: RegExp) => [...text.matchAll(what)].length;
const file = (name: string) => sources[`../${name}`]!;

/** Whose actions are told where people come upon them. */
const TOLD_IN: Record<string, string> = { 'api/link.ts': 'views/asset.tsx', 'api/session.ts': 'app.tsx' };
/** What nobody does from a shell by `flame`: a session is a browser's. */
const OF_BROWSERS = ['app.tsx'];

describe('actions', () => {
  const acting = Object.keys(sources).map((path) => path.slice('../'.length)).filter((name) => /\b(?:send|act)\('(?:POST|PUT|PATCH|DELETE)'/.test(file(name)));

  test('are those that are known, and a new file of them is seen here', () => {
    expect(acting.sort()).toEqual([
      'api/link.ts', 'api/session.ts', 'parts/begin.tsx', 'parts/compare.tsx', 'parts/deployments.tsx', 'parts/record.tsx', 'parts/trash.tsx', 'views/asset.tsx',
      'views/chains.tsx', 'views/live.tsx', 'views/platform.tsx', 'views/quality.tsx', 'views/templates.tsx',
    ]);
  });

  test.each(acting)('of %s are told as requests and as commands', (name) => {
    const told = file(TOLD_IN[name] ?? name);
    let changes = 0;
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const sent = count(file(name), new RegExp(`\\b(?:send|act)\\('${method}'`, 'g'));
      changes += sent;
      expect(count(told, new RegExp(`\\brequest\\('${method}'`, 'g')), `${method} of ${name} for curl`).toBeGreaterThanOrEqual(sent);
    }
    expect(told).toContain('<Equivalent');
    if (!OF_BROWSERS.includes(TOLD_IN[name] ?? name)) expect(count(told, /\bflame(?:=|: )/g), `${name} by flame`).toBeGreaterThanOrEqual(changes);
  });

  test('uploads are told, too, which a client of its own sends', () => {
    const text = file('parts/upload.tsx');
    expect(text).toMatch(/flame=\{`ingest FILE/);
    expect(text).toContain("request('DELETE', sending.url");
  });
});

test('all plots are of one kind, which gives away a table, a picture and a link', () => {
  expect(Object.keys(sources).filter((path) => /['"]uplot['"]/.test(sources[path]!))).toEqual(['../parts/plot.tsx']);
  for (const what of ['as CSV', 'as PNG', 'Link to the time']) expect(file('parts/plot.tsx')).toContain(what);
});
