/**
 * One `model.fit` of the demo's GPT in which every short block of steps has company of its own: a monitor, a peer, nobody.
 *
 * All blocks share one model, one optimiser and one process, so nothing differs between them but the company. The company's
 * callbacks run inside of what is measured, as they do in a fit of their own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { Callback, type LayersModel } from '@tensorflow/tfjs-layers';
import type { DemoSettings } from '../../cli/demo/settings.ts';
import { built } from './built.ts';

/** Who is called around the steps of a block: a tfjs callback, or a part of one. */
export interface Company {
  onBatchBegin?(batch: number, logs?: Logs): Promise<void>;
  onBatchEnd?(batch: number, logs?: Logs): Promise<void>;
}

type Logs = Record<string, number | tf.Scalar>;

export interface Block<Arm extends string> {
  readonly arm: Arm;
  readonly steps: number;
}

/** Begins to measure; the function returned ends it and gives what was measured. */
export type Meter<Measured> = () => () => Measured;

export interface DemoTraining {
  readonly model: LayersModel;
  readonly settings: DemoSettings;
}

/** The demo's model as `outlierscope demo` trains it natively. */
export async function demoTraining(): Promise<DemoTraining> {
  const { settingsFor } = await built<typeof import('../../cli/demo/settings.ts')>('cli/demo/settings.js');
  const { buildModel } = await built<typeof import('../../cli/demo/train.ts')>('cli/demo/train.js');
  const settings = settingsFor(tf.getBackend());
  return { settings, model: buildModel(settings, 1) };
}

/** Trains through the blocks in order and hands each one's measurement over; goes on when that is dealt with. `company` is made with the inputs of all steps. */
export async function trainInBlocks<Arm extends string, Measured>(
  { model, settings }: DemoTraining,
  blocks: readonly Block<Arm>[],
  company: (inputs: tf.Tensor2D) => Readonly<Record<Arm, Company>>,
  meter: Meter<Measured>,
  onMeasured: (block: Block<Arm>, index: number, measured: Measured) => void | Promise<void>,
): Promise<void> {
  const { readCorpus } = await built<typeof import('../../cli/demo/text.ts')>('cli/demo/text.js');
  const { randomWindows, seededRandom } =
    await built<typeof import('../../cli/demo/batches.ts')>('cli/demo/batches.js');
  const { vocabulary, positions, batch } = settings;
  const examples = blocks.reduce((total, { steps }) => total + steps, 0) * batch;
  const { inputs, targets } = randomWindows(readCorpus(vocabulary).tokens, examples, positions, seededRandom(1));
  const x = tf.tensor2d(inputs, [examples, positions], 'int32');
  const y = tf.tensor3d(Float32Array.from(targets), [examples, positions, 1]); // tfjs's sparse loss takes floats only
  try {
    await model.fit(x, y, {
      batchSize: batch,
      epochs: 1,
      shuffle: false,
      verbose: 0,
      callbacks: [new Conductor(blocks, company(x), meter, onMeasured)],
    });
  } finally {
    tf.dispose([x, y]);
  }
}

class Conductor<Arm extends string, Measured> extends Callback {
  private readonly blocks: readonly Block<Arm>[];
  private readonly company: Readonly<Record<Arm, Company>>;
  private readonly meter: Meter<Measured>;
  private readonly onMeasured: (block: Block<Arm>, index: number, measured: Measured) => void | Promise<void>;
  private index = 0;
  private stepsLeft: number;
  private stop: (() => Measured) | undefined;

  constructor(
    blocks: readonly Block<Arm>[],
    company: Readonly<Record<Arm, Company>>,
    meter: Meter<Measured>,
    onMeasured: (block: Block<Arm>, index: number, measured: Measured) => void | Promise<void>,
  ) {
    super();
    this.blocks = blocks;
    this.company = company;
    this.meter = meter;
    this.onMeasured = onMeasured;
    this.stepsLeft = blocks[0]?.steps ?? 0;
  }

  override async onBatchBegin(batch: number, logs?: Logs): Promise<void> {
    this.stop ??= this.meter();
    await this.company[this.block.arm].onBatchBegin?.(batch, logs);
  }

  override async onBatchEnd(batch: number, logs?: Logs): Promise<void> {
    const { block } = this;
    await this.company[block.arm].onBatchEnd?.(batch, logs);
    this.stepsLeft -= 1;
    if (this.stepsLeft > 0) return;
    await this.onMeasured(block, this.index, (this.stop as () => Measured)());
    this.stop = undefined;
    this.index += 1;
    this.stepsLeft = this.blocks[this.index]?.steps ?? 0;
  }

  private get block(): Block<Arm> {
    return this.blocks[this.index] as Block<Arm>;
  }
}
