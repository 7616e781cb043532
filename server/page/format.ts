/** Numbers and times as people read them. Pure. */
import type { Value } from './types.ts';

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** A count or a step: `12,345`. */
export function formatCount(value: Value | undefined): string {
  if (value === null || value === undefined) return '–';
  return Number.isFinite(value) ? whole.format(value) : formatNonFinite(value);
}

/** A measured value in three significant digits: `8.21`, `0.0132`, `1.2e-5`, `NaN`, `Infinity`; `–` where nothing was measured. */
export function formatValue(value: Value | undefined): string {
  if (value === null || value === undefined) return '–';
  if (!Number.isFinite(value)) return formatNonFinite(value);
  if (value === 0) return '0';
  const size = Math.abs(value);
  // Alerts travel as JSON, in which the largest number stands for infinity.
  if (size >= Number.MAX_VALUE) return formatNonFinite(value * 2);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace('e+', 'e').replace('.0e', 'e');
  if (size >= 1000) return whole.format(value);
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

/** The label of an axis tick: as short as the number allows. */
export function formatTick(value: number): string {
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace('e+', 'e').replace('.0e', 'e');
  if (size >= 10_000) return `${Number((value / 1000).toPrecision(3))}k`;
  return String(Number(value.toPrecision(4)));
}

function formatNonFinite(value: number): string {
  return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
}

/** A share of one as per cent: `31 %`, `0.8 %`. */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) return formatNonFinite(share);
  const percent = share * 100;
  return `${percent >= 9.95 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

/** How long ago something was: `now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`. */
export function formatAgo(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 2) return 'now';
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** A name of the catalogue in words: `max_median_ratio` becomes `Max median ratio`. */
export function metricLabel(name: string): string {
  if (name === 'rms') return 'RMS';
  const words = name.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
