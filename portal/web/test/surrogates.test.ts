import { beforeEach, expect, it, vi } from 'vitest';

const answers = { vcdn: 200, orchestrator: 200 };
const deployed = { items: [{ endpoints: [{ image: 'flame-vcdn', state: 'connected', names: ['edge.city'] }] }] };

beforeEach(() => {
  vi.stubGlobal('fetch', async (path: string) => {
    const isVcdn = path.startsWith('/~vcdn');
    const status = isVcdn ? answers.vcdn : answers.orchestrator;
    return new Response(JSON.stringify(status === 200 ? (isVcdn ? { names: ['cdn.main'] } : deployed) : { detail: 'no' }), { status });
  });
});

it('keeps the ways that there are while somebody is silent, and not for ever', async () => {
  const { look, ways } = await import('../api/surrogates');
  const after = async (orchestrator: number) => {
    answers.orchestrator = orchestrator;
    await look();
    return ways.value;
  };
  const all = ['streaming', 'cdn', 'edge.city'];
  expect(await after(200)).toEqual(all);
  const before = ways.value;
  expect(await after(503)).toBe(before);
  expect(await after(503)).toBe(before);
  expect(await after(200)).toBe(before);
  for (const _ of [1, 2]) expect(await after(503)).toBe(before);
  expect(await after(503)).toEqual(['streaming', 'cdn']);
  expect(await after(200)).toEqual(all);
  // Who says that there is nothing is believed.
  expect(await after(404)).toEqual(['streaming', 'cdn']);
});
