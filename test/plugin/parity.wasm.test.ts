import { describeOn } from '../support/backends.ts';
import { parityTests } from './parity.ts';

const describeBackend = await describeOn('wasm');
describeBackend('parity on wasm', () => parityTests('wasm'));
