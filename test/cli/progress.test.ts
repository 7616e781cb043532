import { describe, expect, it } from 'vitest';
import { createProgress, estimatedFraction, progressBar, withProgress } from '../../cli/progress.ts';

class Screen {
  readonly isTTY: boolean;
  readonly columns = 60;
  text = '';
  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }
  write(text: string): void {
    this.text += text;
  }
  /** What stands in each line after the redraws. */
  lines(): string[] {
    return this.text.split('\n').map((line) => line.split('\r\u001b[K').at(-1) ?? '');
  }
}

describe('progress', () => {
  it('moves a bar in one line of a terminal, never wider than it, and leaves one line per step', () => {
    const screen = new Screen(true);
    const step = createProgress(screen).step('Downloading');
    step.update(0.5, '118 of 262 MB, and a note that does not fit');
    expect(screen.lines()).toHaveLength(1);
    expect(screen.lines()[0]).toMatch(/^Downloading +\[#{12}\.+/);
    expect(screen.lines()[0]).toHaveLength(59);
    step.done('arrived');
    expect(screen.lines()).toEqual([expect.stringMatching(/^Downloading +arrived$/), '']);
  });

  it('is one plain line per step where nobody watches', () => {
    for (const progress of [new Screen(false), new Screen(true)]) {
      const step = createProgress(progress, { TERM: 'dumb' }).step('Downloading');
      step.update(0.5);
      step.done();
      expect(progress.text).toBe('Downloading\n');
    }
  });

  it('says of a step that throws that it failed, and passes the error on', async () => {
    const screen = new Screen(true);
    const work = withProgress(
      createProgress(screen),
      'Compiling',
      () => ({ fraction: 0 }),
      () => Promise.reject(new Error('no g++')),
    );
    await expect(work).rejects.toThrow('no g++');
    expect(screen.lines()[0]).toMatch(/^Compiling +failed after/);
  });

  it('draws bars of one width, whatever the fraction', () => {
    expect([-1, 0, 0.5, 1, 2].map((fraction) => progressBar(fraction, 4))).toEqual([
      '[....]',
      '[....]',
      '[##..]',
      '[####]',
      '[####]',
    ]);
  });

  it('estimates ever slower, and never the end', () => {
    expect(estimatedFraction(4, 10)).toBe(0.4);
    const late = [8, 10, 20, 40].map((seconds) => estimatedFraction(seconds, 10));
    expect(late).toEqual([...late].sort((a, b) => a - b));
    expect(late.at(-1)).toBeLessThan(1);
  });
});
