/**
 * The two formats of /metrics, and which of them a scraper gets. Pure.
 * https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md
 * https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
 */
import { escapeText } from './labels.ts';

export type Format = 'text' | 'openmetrics';

export const contentTypes: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** What comes after the last sample. */
export const endings: Readonly<Record<Format, string>> = { text: '', openmetrics: '# EOF\n' };

export interface FamilyHead {
  /** As samples are called in the text format: with `_total` or `_info` where the type asks for it. */
  readonly name: string;
  readonly type: string;
  readonly help: string;
}

/** Base units that a name may end with, before `_total`. */
const unit = /_(seconds|bytes|decibels|nats|values|neurons)$/;

/** The lines before a family's samples. OpenMetrics names a family without the suffix that its type gives the samples. */
export function headOf({ name, type, help }: FamilyHead, format: Format): string {
  if (format === 'text') {
    // The text format has no info; a gauge that is always 1 is what it stands for.
    const known = type === 'info' ? 'gauge' : type;
    return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${known}\n`;
  }
  const family = name.replace(type === 'counter' ? /_total$/ : type === 'info' ? /_info$/ : /$^/, '');
  const found = unit.exec(family)?.[1];
  const unitLine = found === undefined || type === 'info' ? '' : `# UNIT ${family} ${found}\n`;
  return `# TYPE ${family} ${type}\n${unitLine}# HELP ${family} ${escapeText(help)}\n`;
}

/** In the text format double quotes stand for themselves there. */
function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

interface MediaRange {
  readonly type: string;
  readonly version: string | undefined;
  readonly weight: number;
}

/**
 * The format for an Accept header (RFC 9110, 12.5.1). A scraper has to name OpenMetrics to get it: whoever takes anything, or nothing
 * that there is, gets the text format. That beats a 406, with which nobody could read what is wrong.
 */
export function negotiateFormat(accept: string | undefined): Format {
  const ranges = (accept ?? '').split(',').map(parseRange);
  const openmetrics = heaviest(ranges, ({ type, version }) => {
    return type === 'application/openmetrics-text' && (version === undefined || /^(0\.0\.1|1(\.\d+)*)$/.test(version));
  });
  const text = heaviest(ranges, ({ type, version }) => {
    return type === 'text/plain' && (version === undefined || version === '0.0.4');
  });
  const anything = heaviest(ranges, ({ type }) => type === '*/*' || type === 'text/*');
  return openmetrics > 0 && openmetrics >= Math.max(text, anything) ? 'openmetrics' : 'text';
}

function heaviest(ranges: readonly MediaRange[], fits: (range: MediaRange) => boolean): number {
  return Math.max(0, ...ranges.filter(fits).map(({ weight }) => weight));
}

function parseRange(text: string): MediaRange {
  const [type = '', ...rest] = text.split(';').map((part) => part.trim().toLowerCase());
  const parameters = new Map(rest.map((part) => part.split('=', 2).map((side) => side.trim()) as [string, string]));
  const weight = Number(parameters.get('q') ?? 1);
  const version = parameters.get('version')?.replace(/^"(.*)"$/, '$1');
  return { type, version, weight: weight >= 0 && weight <= 1 ? weight : 0 };
}
