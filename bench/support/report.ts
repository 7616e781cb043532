/** How results are told: one line of JSON, or text. Bad ones as they are. */
import { type Bench, isMet, type Requirement, type Result, type Setting } from './bench.ts';
import { type Machine, machineInWords } from './machine.ts';

/** One object without nesting of the figures, for programs. */
export function asJson(bench: Bench, length: Setting['length'], result: Result, machine: Machine): string {
  return JSON.stringify({
    bench: bench.name,
    length,
    ...result.figures,
    intervals: result.intervals,
    requirements: bench.requirements.map((requirement) => ({
      ...requirement,
      met: isMet(requirement, result.figures),
    })),
    met: bench.requirements.every((requirement) => isMet(requirement, result.figures)),
    details: result.details,
    machine,
  });
}

export function asText(bench: Bench, length: Setting['length'], result: Result, machine: Machine): string {
  const rows = Object.entries(result.figures).map(([name, value]) => {
    const interval = result.intervals[name];
    const range = interval === undefined ? '' : `[${interval.map(figure).join(', ')}]`;
    const requirements = bench.requirements.filter((requirement) => requirement.figure === name);
    return [name, figure(value), range, requirements.map((each) => verdict(each, result)).join('; ')];
  });
  const details = Object.entries(result.details).map(([name, value]) => [name, figure(value)]);
  return [
    `${bench.name}: ${bench.description}`,
    ...(length === 'quick' ? ['QUICK RUN: it shows that the benchmark works; the figures mean little.'] : []),
    machineInWords(machine),
    '',
    ...table([['figure', 'measured', '95 % interval', 'must be'], ...rows]),
    '',
    ...table(details),
  ].join('\n');
}

function verdict(requirement: Requirement, { figures }: Result): string {
  const bound = requirement.must === 'below' ? requirement.other : requirement.limit;
  return `${requirement.must} ${bound}: ${isMet(requirement, figures) ? 'yes' : 'NO'}`;
}

function figure(value: number | string): string {
  if (typeof value === 'string' || Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(4);
}

function table(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.length ?? 0;
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] as number))
      .join('  ')
      .trimEnd(),
  );
}
