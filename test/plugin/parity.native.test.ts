import { describeOn } from '../support/backends.ts';
import { parityTests } from './parity.ts';

const describeBackend = await describeOn('tensorflow');
describeBackend('parity on native', () => parityTests('tensorflow'));
