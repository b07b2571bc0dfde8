import { describe, expect, test } from 'vitest';
import type { CaseResult, SuiteRun } from '../api/types';
import { rows } from '../pure/suites';

const gate = (name: string, measured: number | null, passed: boolean) => ({ gate: name, measured, passed });
const of = (name: string, ...gates: ReturnType<typeof gate>[]): CaseResult => ({ case: name, outcome: gates.every(({ passed }) => passed) ? 'passed' : 'failed', time_s: 1, gates });
const run = (id: string, ...cases: CaseResult[]): SuiteRun => ({ id, suite: 's', begun_at: '', time_s: 1, tool: 't', cases, received_at: '' });

describe('suites', () => {
  test('a gate stands in one row from the oldest run to the newest', () => {
    const all = rows([run('new', of('a', gate('vmaf.p5 >= 80', 79.5, false), gate('psnr.mean >= 30', 40, true))), run('old', of('a', gate('vmaf.p5 >= 80', 81, true)))]);
    expect(all.map(({ case: name, gate, change, cells }) => [name, gate, change, ...cells.map((cell) => cell?.measured ?? null)])).toEqual([
      ['a', 'vmaf.p5 >= 80', '−1.5', 81, 79.5], ['a', 'psnr.mean >= 30', '', null, 40],
    ]);
    expect(all[0]!.cells.map((cell) => cell?.passed)).toEqual([true, false]);
    expect([all[0]!.points, all[1]!.points]).toEqual(['1.0,2.0 95.0,18.0', '']);
  });

  test('a case that was not measured says why, and what was never asked says nothing', () => {
    const silent: CaseResult = { case: 'a', outcome: 'not_measured', time_s: 0, said: 'no encoder' };
    const [gated, bare] = rows([run('new', of('a', gate('g', 1, true)), of('only new')), run('old', silent)]);
    expect(gated!.cells).toEqual([{ measured: null, passed: false, why: 'no encoder' }, { measured: 1, passed: true, why: '' }]);
    expect([bare!.gate, ...bare!.cells]).toEqual(['', null, { measured: null, passed: true, why: 'passed' }]);
  });

  test('an even line lies in the middle, between what was measured', () => {
    const all = rows([3, 2, 1].map((at) => run(String(at), of('a', gate('g', at === 2 ? null : 5, true)))));
    expect([all[0]!.points, all[0]!.change]).toEqual(['1.0,10.0 95.0,10.0', '=']);
  });
});
