/** Reads the tables of a document, so that tests can compare them with the code. */
import { readFileSync } from 'node:fs';

export interface Section {
  readonly heading: string;
  /** Cells of every row of the section's tables, head and rule left out. */
  readonly rows: readonly (readonly string[])[];
  readonly text: string;
}

/** The text of a file below docs/. */
export function readDocument(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
}

/** A document cut at its headings, whatever their level. */
export function sectionsOf(text: string): Section[] {
  return text.split(/^#+ /m).map((part) => {
    const [heading = '', ...lines] = part.split('\n');
    return { heading: heading.replaceAll('`', ''), rows: rowsOf(lines), text: lines.join('\n') };
  });
}

/** The section of that heading. */
export function section(text: string, heading: string): Section {
  const found = sectionsOf(text).filter((each) => each.heading === heading);
  if (found.length !== 1) throw new Error(`${found.length} sections are headed ${JSON.stringify(heading)}`);
  return found[0] as Section;
}

function rowsOf(lines: readonly string[]): string[][] {
  const isRule = (line: string | undefined): boolean => line !== undefined && /^\|(-+\|)+$/.test(line);
  return lines
    .filter((line, index) => line.startsWith('|') && !isRule(line) && !isRule(lines[index + 1]))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
