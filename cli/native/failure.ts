/** A set-up that cannot go on. Its message says what failed and how to go on, and is shown as it is, without a stack. */
export class NativeSetupError extends Error {
  override readonly name = 'NativeSetupError';
}
