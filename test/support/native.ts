/** The native backend in a test file's process. */
import { loadNative } from '../../cli/native/load.ts';
import { type DescribeBlock, describeUnless } from './require-components.ts';

const native = await loadNative();

/** A `describe` whose tests run on native TensorFlow; without it one failure (CI=true) or one named skip. */
export const describeNative: DescribeBlock = describeUnless(
  native === undefined ? 'needs native TensorFlow: npx outlierscope setup-native' : undefined,
);
