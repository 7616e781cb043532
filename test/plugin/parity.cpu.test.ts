import { describeOn } from '../support/backends.ts';
import { parityTests } from './parity.ts';

const describeBackend = await describeOn('cpu');
describeBackend('parity on cpu', () => parityTests('cpu'));
