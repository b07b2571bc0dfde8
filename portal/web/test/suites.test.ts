import { describe, expect, test } from 'vitest';
import type { CaseResult, SuiteRun, Verdict } from '../api/types';
import { read, write } from '../pure/route';
import { line, rows } from '../pure/suites';

const gate = (name: string, measured: number | null, passed: boolean): Verdict => ({ gate: name, measured, passed });
const of = (name: string, ...gates: ReturnType<typeof gate>[]): CaseResult => ({ case: name, outcome: gates.every(({ passed }) => passed) ? 'passed' : 'failed', time_s: 1, gates });
const run = (id: string, ...cases: CaseResult[]): SuiteRun => ({ id, suite: 's', begun_at: '', time_s: 1, tool: 't', cases, received_at: '' });

describe('suites', () => {
  test('a gate stands in one row from the oldest run to the newest', () => {
    const all = rows([run('new', of('a', gate('vmaf.p5 >= 80', 79.5, false), gate('psnr.mean >= 30', 40, true))), run('old', of('a', gate('vmaf.p5 >= 80', 81, true)))]);
    expect(all.map(({ case: name, gate, change, cells }) => [name, gate, change, ...cells.map((cell) => cell?.measured ?? null)])).toEqual([
      ['a', 'vmaf.p5 >= 80', '−1.5', 81, 79.5], ['a', 'psnr.mean >= 30', '', null, 40],
    ]);
    expect(all[0]!.cells.map((cell) => [cell?.text, cell?.isWell])).toEqual([['81', true], ['79.5 ✗', false]]);
    expect([all[0]!.points, all[1]!.points]).toEqual(['1.0,2.0 95.0,18.0', '']);
  });

  test('a gate is a line over the times of its runs, and a link leads to it', () => {
    const at = (id: string, begun_at: string, measured: number) => ({ ...run(id, of('a', gate('g >= 1', measured, true))), begun_at });
    const runs = [at('new', '2026-11-28T12:00:10Z', 3), at('old', '2026-11-28T12:00:00Z', 2)];
    const begun_s = Date.parse('2026-11-28T12:00:00Z') / 1000;
    expect(line(runs, rows(runs)[0]!)).toEqual({ times_s: [begun_s, begun_s + 10], lines: [{ label: 'a: g >= 1', values: [2, 3] }] });
    const trend = { suite: 'a suite', case: 'a/b', gate: 'vmaf.p5 >= 80', range: { from_ms: 1, to_ms: 2 } };
    for (const shown of [trend, { ...trend, range: null }]) expect(read(write({ view: 'quality', asset: null, trend: shown }))).toEqual({ view: 'quality', asset: null, trend: shown });
  });

  test('a case that was not measured says why, and what was never asked says nothing', () => {
    const silent: CaseResult = { case: 'a', outcome: 'not_measured', time_s: 0, said: 'no encoder' };
    const [gated, bare] = rows([run('new', of('a', gate('g', 1, true)), of('only new')), run('old', silent)]);
    expect(gated!.cells).toEqual([{ measured: null, text: 'not measured', isWell: false, why: 'no encoder' }, { measured: 1, text: '1', isWell: true, why: '' }]);
    expect([bare!.gate, ...bare!.cells]).toEqual(['', null, { measured: null, text: 'passed', isWell: true, why: '' }]);
  });

  test('a control is well where its gate fails, and not where all of them hold', () => {
    const control = (outcome: CaseResult['outcome'], held: boolean): CaseResult => ({
      ...of('a control', gate('psnr.mean > 99', held ? 100 : 40, held)), outcome, must_fail: true, said: outcome === 'passed' ? 'fails as it must' : 'must fail and does not',
    });
    const [row] = rows([run('new', control('not_measured', true)), run('old', control('passed', false))]);
    expect([row!.isControl, ...row!.cells]).toEqual([
      true, { measured: 40, text: '40 ✗', isWell: true, why: 'fails as it must' }, { measured: 100, text: '100', isWell: false, why: 'must fail and does not' },
    ]);
  });

  test('a regression stands beside the figure that moved, and a case that failed without one says so', () => {
    const why = 'vmaf.p5 77.0000, baseline 80.5000';
    const regressed: CaseResult = { ...of('a', { ...gate('vmaf.p5 against the baseline', 77, false), why }), said: `regression: ${why}` };
    const old: CaseResult = { case: 'a', outcome: 'failed', time_s: 0, said: 'said' };
    const [row] = rows([run('new', regressed), run('old', old)]);
    expect(row!.cells).toEqual([{ measured: null, text: 'failed', isWell: false, why: 'said' }, { measured: 77, text: '77 ✗', isWell: false, why }]);
  });

  test('an even line lies in the middle, between what was measured', () => {
    const all = rows([3, 2, 1].map((at) => run(String(at), of('a', gate('g', at === 2 ? null : 5, true)))));
    expect([all[0]!.points, all[0]!.change]).toEqual(['1.0,10.0 95.0,10.0', '=']);
  });
});
