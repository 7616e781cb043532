/** The heatmap's legend: its colour scale with values, and what the colours outside of it mean. */
import { heatColour, infinityColour, notANumberColour, toCss } from './colours.ts';
import { element, fitCanvas } from './dom.ts';
import { formatTick } from './format.ts';
import type { HeatmapPicture } from './heatmap-draw.ts';
import { positionOf, ticksOf } from './scale.ts';

const width = 240;
const inset = 14;
const barHeight = 8;

export function createLegend(): { root: HTMLElement; update(picture: HeatmapPicture): void } {
  const bar = element('canvas', { role: 'img' });
  const notes = element('span', { class: 'legend-notes' });
  const root = element('div', { class: 'legend' }, [bar, notes]);
  return {
    root,
    update({ scale, theme, series }) {
      const context = fitCanvas(bar, width, 28);
      if (context === undefined) return;
      const long = width - 2 * inset;
      for (let x = 0; x < long; x++) {
        context.fillStyle = toCss(heatColour(x / (long - 1), theme.ground));
        context.fillRect(inset + x, 2, 1.5, barHeight);
      }
      context.font = theme.font;
      context.fillStyle = theme.muted;
      context.textAlign = 'center';
      context.textBaseline = 'top';
      const ticks = ticksOf(scale, 6);
      for (const tick of ticks)
        context.fillText(formatTick(tick), inset + positionOf(scale, tick) * long, barHeight + 6);
      bar.setAttribute(
        'aria-label',
        `Colour scale${scale.kind === 'linear' ? '' : ', logarithmic'}, ${ticks.map(formatTick).join(', ')}`,
      );

      const values = series.values.flat();
      notes.replaceChildren(
        ...(values.some(Number.isNaN) ? [swatch('NaN', toCss(notANumberColour[theme.ground]))] : []),
        ...(values.some((value) => value === Infinity || value === -Infinity)
          ? [swatch('Infinity', toCss(infinityColour[theme.ground]))]
          : []),
      );
    },
  };
}

function swatch(label: string, colour: string): HTMLElement {
  const mark = element('i', { class: 'swatch', 'aria-hidden': 'true' });
  mark.style.background = colour;
  return element('span', {}, [mark, label]);
}
