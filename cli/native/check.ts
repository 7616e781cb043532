/** Does this tfjs-node really work? Asked in a child process, because a broken native library takes its process with it. */
import { execFile } from 'node:child_process';

export type CheckResult =
  | { readonly works: true; readonly tensorflow: string }
  | { readonly works: false; readonly reason: string };

const ANSWER = 'outlierscope-check:';
const TIMEOUT_MILLISECONDS = 120_000;

// Plain CommonJS in a string: it must run without a loader, from the sources and from dist alike.
const SCRIPT = `
const answer = (value) => process.stdout.write('\\n${ANSWER}' + JSON.stringify(value) + '\\n');
(async () => {
  const tf = require(process.argv[1]);
  await tf.ready();
  const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]));
  answer({ backend: tf.getBackend(), tensorflow: String(tf.backend().binding?.TF_Version), product: [...product.dataSync()] });
})().catch((error) => answer({ error: String(error?.message ?? error) }));
`;
const PRODUCT = '19,22,43,50';

/** Loads the package at `path` in a child process and multiplies two matrices with it. */
export function checkNative(path: string, environment: NodeJS.ProcessEnv): Promise<CheckResult> {
  const options = { env: quietEnvironment(environment), timeout: TIMEOUT_MILLISECONDS, maxBuffer: 1 << 24 };
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', SCRIPT, path], options, (error, stdout, stderr) => {
      const line = stdout.split('\n').find((candidate) => candidate.startsWith(ANSWER));
      resolve(
        line === undefined ? { works: false, reason: silence(error, stderr) } : verdict(line.slice(ANSWER.length)),
      );
    });
  });
}

function verdict(text: string): CheckResult {
  const answer = JSON.parse(text) as { error?: string; backend?: string; tensorflow?: string; product?: number[] };
  if (answer.error !== undefined) return { works: false, reason: firstLine(answer.error) };
  if (answer.backend !== 'tensorflow') {
    return { works: false, reason: `its backend is '${answer.backend}' instead of 'tensorflow'` };
  }
  if (String(answer.product) !== PRODUCT) {
    return {
      works: false,
      reason: `it multiplied [1 2; 3 4] by [5 6; 7 8] to [${answer.product}] instead of [${PRODUCT}]`,
    };
  }
  return { works: true, tensorflow: answer.tensorflow ?? 'unknown' };
}

/** Why a child that gave no answer gave none. */
function silence(error: (Error & { signal?: string | null; killed?: boolean }) | null, stderr: string): string {
  if (error?.killed) return `it had not loaded after ${TIMEOUT_MILLISECONDS / 1000} s`;
  if (error?.signal) return `it crashed with ${error.signal} while it loaded`;
  return firstLine(stderr) || 'it ended its process while it loaded';
}

function firstLine(text: string): string {
  const line = text.split('\n').find((candidate) => candidate.trim() !== '') ?? '';
  return line.trim().slice(0, 300);
}

/**
 * TensorFlow's own words on stderr, kept to errors, unless the user says otherwise.
 *
 * TF_ENABLE_ONEDNN_OPTS: on CPUs with AVX-512 VNNI and the like, TensorFlow announces oneDNN from a static initializer,
 * before it reads its log level, so only turning oneDNN off keeps it quiet. That costs nothing on balance: on two cores
 * a matmul 2048x768x3072 took 43 ms without and 72 ms with oneDNN, a batch of 64 attention products 1.8 and 1.2 ms, and
 * without it results do not depend on the kind of CPU. Set it to 1 to have oneDNN and its announcement.
 */
export function quietEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { TF_CPP_MIN_LOG_LEVEL: '2', TF_ENABLE_ONEDNN_OPTS: '0', ...environment };
}
