#!/usr/bin/env node
/** The command line. What a command works with is loaded only when it runs, so `serve` never loads TensorFlow.js. */
import { Command } from 'commander';
import { packageVersion } from './version.ts';

const program = new Command('outlierscope')
  .description('See outlier features while a transformer trains in TensorFlow.js.')
  .version(packageVersion())
  .showHelpAfterError('(run with --help to see what is accepted)');

for (const load of [
  () => import('./commands/analyze.ts').then((m) => m.analyzeCommand()),
  () => import('./commands/demo.ts').then((m) => m.demoCommand()),
  () => import('./commands/export.ts').then((m) => m.exportCommand()),
  () => import('./commands/import.ts').then((m) => m.importCommand()),
  () => import('./commands/serve.ts').then((m) => m.serveCommand()),
  () => import('./commands/setup-native.ts').then((m) => m.setupNativeCommand()),
  () => import('./commands/verify.ts').then((m) => m.verifyCommand()),
]) {
  program.addCommand(await load());
}

await program.parseAsync();
