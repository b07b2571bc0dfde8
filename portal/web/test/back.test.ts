import { describe, expect, it } from 'vitest';
import { behind, isLive, place, reach } from '../pure/back';
import { nearest, worst } from '../pure/worst';

describe('going back in a channel', () => {
  it('reaches from the oldest to what plays without waiting', () => {
    expect(reach(10, 70, 67.5)).toEqual({ from_s: 10, edge_s: 67.5 });
    expect(reach(10, 70, null)).toEqual({ from_s: 10, edge_s: 70 });
    // What is asked for has not been there yet.
    expect(reach(10, 70, 90)).toEqual({ from_s: 10, edge_s: 70 });
  });
  it('has nothing to go back to before anything was sent', () => {
    expect(reach(0, 0, null)).toBeNull();
    expect(reach(5, 8, 5)).toBeNull();
  });
  it('keeps away from what is about to leave, and from what has not come', () => {
    const window = { from_s: 10, edge_s: 70 };
    expect(place(window, 0)).toBe(70);
    expect(place(window, 25)).toBe(45);
    expect(place(window, 60)).toBe(14);
    expect(place(window, -3)).toBe(70);
    expect(place({ from_s: 10, edge_s: 12 }, 2)).toBe(12);
  });
  it('is live for who is hardly behind', () => {
    const window = { from_s: 10, edge_s: 70 };
    expect([behind(window, 45), behind(window, 71)]).toEqual([25, 0]);
    expect([isLive(window, 69), isLive(window, 60)]).toEqual([true, false]);
  });
});

describe('worst frames', () => {
  const frame = (distorted: number, time_ms: number, score: number) => ({ distorted, reference: distorted, time_ms, score });
  const columns = [
    { name: 'psnr', worst: [frame(1, 40, 20)] }, { name: 'vmaf', worst: [frame(9, 360, 30), frame(3, 120, 31)] }, { name: 'ssim', worst: [] }, { name: 'psnr_cr' },
  ];
  it('are those whose pictures are kept, in the order of the film', () => {
    expect(worst(columns)).toEqual({ column: 'vmaf', frames: [frame(3, 120, 31), frame(9, 360, 30)] });
    expect(worst([{ name: 'psnr', worst: [] }])).toBeNull();
  });
  it('are chosen by the moment that is nearest', () => {
    const { frames } = worst(columns)!;
    expect([nearest(frames, 0), nearest(frames, 239), nearest(frames, 241), nearest([], 5)]).toEqual([3, 3, 9, null]);
  });
});
