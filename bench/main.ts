/** `npm run bench -- NAME [--json] [--quick]`. Without a name: the names. */
import { parseArgs } from 'node:util';
import { fleet } from './fleet.ts';
import { ingest } from './ingest.ts';
import { isolation } from './isolation.ts';
import { memory } from './memory.ts';
import { metrics } from './metrics.ts';
import { overhead } from './overhead.ts';
import { remoteWrite } from './remote-write.ts';
import { scrape } from './scrape.ts';
import type { Bench, Setting } from './support/bench.ts';
import { startNative } from './support/built.ts';
import { describeMachine } from './support/machine.ts';
import { asJson, asText } from './support/report.ts';
import { wire } from './wire.ts';

const benches: readonly Bench[] = [overhead, metrics, memory, ingest, isolation, wire, fleet, scrape, remoteWrite];

const { values: flags, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false }, quick: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [name] = positionals;
const bench = benches.find((each) => each.name === name);
if (bench !== undefined && positionals.length === 1) {
  await run(bench, flags.quick ? 'quick' : 'full');
} else {
  const names = benches.map((each) => `  ${each.name.padEnd(14)}${each.description}`);
  const usage = ['npm run bench -- NAME [--json] [--quick]', ...names].join('\n');
  if (name !== undefined) console.error(`There is no benchmark '${positionals.join(' ')}'.`);
  (name === undefined ? console.log : console.error)(usage);
  process.exitCode = name === undefined ? 0 : 1;
}

async function run(chosen: Bench, length: Setting['length']): Promise<void> {
  try {
    const machine = describeMachine(await startNative());
    const result = await chosen.run({ length, progress: (line) => process.stderr.write(`${line}\n`) });
    console.log((flags.json ? asJson : asText)(chosen, length, result, machine));
  } catch (error) {
    console.error(`bench ${chosen.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    process.exitCode = 1;
  }
}
