/** Parquet: the same tables as in CSV, typed, written row group by row group. */
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { ExportFile, Format, Source } from './format.ts';
import { type Column, forEachMeasured, topNeuronsOf } from './selection.ts';

export const parquet: Format = {
  content: 'binary',
  single: valuesFile,
  all: (source) => [valuesFile(source), neuronsFile(source), alertsFile(source)],
};

/** Rows that are held and compressed at once, up to the end of a frame: what DuckDB takes as one unit of work. */
const groupRows = 122_880;

type Type = 'STRING' | 'INT64' | 'DOUBLE' | 'TIMESTAMP' | 'INT32' | 'FLOAT';

interface ColumnType {
  readonly name: string;
  readonly type: Type;
  readonly nulls?: 'allowed';
}

const frameColumns: readonly ColumnType[] = [
  { name: 'run', type: 'STRING' },
  { name: 'sequence', type: 'INT64' },
  { name: 'step', type: 'INT64' },
  { name: 'time', type: 'TIMESTAMP' },
];

type Cell = string | number | bigint | null;

/** Takes rows as one list of cells a column, and gives pieces of a file whenever a row group is full. */
function createTable(columns: readonly ColumnType[]) {
  const writer = new ByteWriter();
  const schema = [{ name: 'root', num_children: columns.length }, ...columns.map(schemaElement)];
  const file = new ParquetWriter({ writer, schema, createdBy: 'outlierscope' });
  const cells: Cell[][] = columns.map(() => []);

  function take(): Uint8Array {
    const bytes = writer.getBytes().slice();
    writer.index = 0; // What was taken is not written again; `offset` goes on.
    return bytes;
  }

  function writeGroup(): void {
    const data = columns.map(({ name, type }, column) => ({
      name,
      data: cells[column] as Cell[],
      // A dictionary takes 0 and -0 for one.
      ...((type === 'DOUBLE' || type === 'FLOAT') && { encoding: 'PLAIN' as const }),
    }));
    const rows = (cells[0] as Cell[]).length;
    if (rows > 0) file.write({ columnData: data, rowGroupSize: rows });
    for (const column of cells) column.length = 0;
  }

  return {
    add(...row: readonly Cell[]): void {
      for (const [column, value] of row.entries()) (cells[column] as Cell[]).push(value);
    },
    *pieces(): Iterable<Uint8Array> {
      if ((cells[0] as Cell[]).length < groupRows) return;
      writeGroup();
      yield take();
    },
    *end(): Iterable<Uint8Array> {
      writeGroup();
      file.finish();
      yield take();
    },
  };
}

function schemaElement({ name, type, nulls }: ColumnType) {
  const repetition_type = nulls === 'allowed' ? ('OPTIONAL' as const) : ('REQUIRED' as const);
  if (type === 'STRING') return { name, type: 'BYTE_ARRAY' as const, converted_type: 'UTF8' as const, repetition_type };
  if (type === 'TIMESTAMP')
    return { name, type: 'INT64' as const, converted_type: 'TIMESTAMP_MILLIS' as const, repetition_type };
  return { name, type, repetition_type };
}

function valuesFile({ run, selection: { columns }, frames }: Source): ExportFile {
  async function* pieces(): AsyncIterable<Uint8Array> {
    const table = createTable([
      ...frameColumns,
      { name: 'site', type: 'STRING', nulls: 'allowed' },
      { name: 'metric', type: 'STRING' },
      { name: 'value', type: 'DOUBLE' },
    ]);
    for await (const frame of frames()) {
      const [sequence, step, time] = [BigInt(frame.sequence), BigInt(frame.step), toMilliseconds(frame.time)];
      forEachMeasured(frame, columns, (value, position) => {
        const { site, metric } = columns[position] as Column;
        table.add(run.id, sequence, step, time, site, metric, value);
      });
      yield* table.pieces();
    }
    yield* table.end();
  }
  return { name: 'values.parquet', pieces: pieces() };
}

function neuronsFile({ run, selection: { sites }, frames }: Source): ExportFile {
  async function* pieces(): AsyncIterable<Uint8Array> {
    const table = createTable([
      ...frameColumns,
      { name: 'site', type: 'STRING' },
      { name: 'rank', type: 'INT32' },
      { name: 'neuron', type: 'INT64' },
      { name: 'share', type: 'FLOAT' },
    ]);
    for await (const frame of frames()) {
      const [sequence, step, time] = [BigInt(frame.sequence), BigInt(frame.step), toMilliseconds(frame.time)];
      for (const { name, index } of sites) {
        for (const [rank, { neuron, share }] of topNeuronsOf(frame, index).entries())
          table.add(run.id, sequence, step, time, name, rank + 1, BigInt(neuron), share);
      }
      yield* table.pieces();
    }
    yield* table.end();
  }
  return { name: 'top_neurons.parquet', pieces: pieces() };
}

function alertsFile({ run, alerts }: Source): ExportFile {
  async function* pieces(): AsyncIterable<Uint8Array> {
    const table = createTable([
      ...['run', 'rule', 'severity', 'state', 'metric', 'site'].map((name) => ({ name, type: 'STRING' as const })),
      { name: 'value', type: 'DOUBLE' },
      { name: 'step', type: 'INT64' },
      { name: 'started_step', type: 'INT64' },
      { name: 'started_at', type: 'TIMESTAMP' },
      { name: 'ended_at', type: 'TIMESTAMP', nulls: 'allowed' },
      { name: 'summary', type: 'STRING' },
    ]);
    for (const {
      rule,
      severity,
      state,
      metric,
      site,
      value,
      step,
      startedStep,
      startedAt,
      endedAt,
      summary,
    } of alerts) {
      const ended = endedAt === null ? null : toMilliseconds(endedAt);
      const steps = [BigInt(step), BigInt(startedStep)];
      table.add(
        run.id,
        rule,
        severity,
        state,
        metric,
        site,
        value,
        ...steps,
        toMilliseconds(startedAt),
        ended,
        summary,
      );
    }
    yield* table.end();
  }
  return { name: 'alerts.parquet', pieces: pieces() };
}

function toMilliseconds(time: number): bigint {
  return BigInt(Math.floor(time));
}
