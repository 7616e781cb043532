/** The style sheet's colours for canvases, which style sheets do not reach. */
import type { Ground } from './colours.ts';

export interface Theme {
  readonly ground: Ground;
  readonly text: string;
  readonly muted: string;
  readonly faint: string;
  readonly line: string;
  readonly panel: string;
  readonly font: string;
  readonly critical: string;
  readonly warning: string;
  readonly info: string;
}

const darkGround = matchMedia('(prefers-color-scheme: dark)');
let current: Theme | undefined;

export function theme(): Theme {
  current ??= readTheme();
  return current;
}

/** Calls back when the reader's system turns from light to dark or back. */
export function onThemeChange(callback: () => void): void {
  darkGround.addEventListener('change', () => {
    current = undefined;
    callback();
  });
}

function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    ground: darkGround.matches ? 'dark' : 'light',
    text: colour('text'),
    muted: colour('muted'),
    faint: colour('faint'),
    line: colour('line'),
    panel: colour('panel'),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    critical: colour('critical'),
    warning: colour('warning'),
    info: colour('info'),
  };
}

const labelWidths = new WeakMap<readonly string[], number>();

/** Width of the widest of some labels in the canvases' font, in CSS pixels. */
export function widestLabel(labels: readonly string[]): number {
  const known = labelWidths.get(labels);
  if (known !== undefined) return known;
  const context = document.createElement('canvas').getContext('2d');
  if (context === null) return 100;
  context.font = theme().font;
  const width = Math.ceil(labels.reduce((widest, label) => Math.max(widest, context.measureText(label).width), 0));
  labelWidths.set(labels, width);
  return width;
}
