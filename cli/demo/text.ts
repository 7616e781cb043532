/**
 * The demo's text: the source code of TensorFlow.js itself, which is on every machine that can train with it.
 * Split into words, numbers, spaces and symbols; the commonest become the vocabulary.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export interface Corpus {
  /** Token numbers of the whole text. */
  readonly tokens: Int32Array;
  readonly words: readonly string[];
}

/** Token 0 stands for every word that is not in the vocabulary. */
export const unknownWord = '<unknown>';

const sources = ['@tensorflow/tfjs-layers', '@tensorflow/tfjs-core'];

/** Reads the text and numbers its tokens. `vocabulary` counts the unknown word too. */
export function readCorpus(vocabulary: number): Corpus {
  const require = createRequire(import.meta.url);
  return tokenise(sources.map((name) => readFileSync(require.resolve(name), 'utf8')).join('\n'), vocabulary);
}

/** Splits text into words, numbers, runs of spaces and single symbols, and numbers the `vocabulary - 1` commonest from 1. */
export function tokenise(text: string, vocabulary: number): Corpus {
  const pieces = text.match(/[A-Za-z_$]+|[0-9]+|\s+|[^\sA-Za-z0-9_$]/g) ?? [];
  const counts = new Map<string, number>();
  for (const piece of pieces) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  const common = [...counts.entries()].sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  const words = [unknownWord, ...common.slice(0, vocabulary - 1).map(([word]) => word)];
  const numbers = new Map(words.map((word, index) => [word, index]));
  return { tokens: Int32Array.from(pieces, (piece) => numbers.get(piece) ?? 0), words };
}
