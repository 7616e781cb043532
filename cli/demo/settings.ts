/** The demo's sizes. Same schedule whatever the number of steps: a longer run goes on where a shorter one stops. */
export interface DemoSettings {
  readonly vocabulary: number;
  readonly width: number;
  readonly blocks: number;
  readonly heads: number;
  readonly positions: number;
  readonly batch: number;
  /** Reached after the warm-up, then constant: high enough for outlier features to show within a hundred steps. */
  readonly learningRate: number;
  readonly warmUpSteps: number;
  readonly epsilon: number;
  readonly clipNorm: number;
  readonly every: number;
}

/** 1.7 million parameters, about 0.45 s a step on two cores. */
const nativeSettings: DemoSettings = {
  vocabulary: 2048,
  width: 128,
  blocks: 6,
  heads: 4,
  positions: 128,
  batch: 16,
  learningRate: 1e-2,
  warmUpSteps: 50,
  epsilon: 1e-8,
  clipNorm: 1,
  every: 5,
};

/** For WebAssembly, ten times as slow. */
const smallSettings: DemoSettings = {
  ...nativeSettings,
  vocabulary: 512,
  width: 64,
  blocks: 3,
  positions: 64,
  batch: 8,
};

/** For plain JavaScript, slower by another ten times. */
const tinySettings: DemoSettings = { ...smallSettings, width: 32, positions: 32, batch: 4 };

/** What a backend trains in reasonable time. */
export function settingsFor(backend: string): DemoSettings {
  if (backend === 'tensorflow') return nativeSettings;
  return backend === 'cpu' ? tinySettings : smallSettings;
}
