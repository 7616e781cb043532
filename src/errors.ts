/** An error of this package: what failed and the value received in `message`, how to go on in `hint`, a stable `code` for programs. */
export class OutlierscopeError extends Error {
  override readonly name = 'OutlierscopeError';
  readonly code: string;
  readonly hint: string | undefined;

  constructor(what: string, details: { code: string; hint?: string; cause?: unknown }) {
    super(
      details.hint === undefined ? what : `${what} (${details.hint})`,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.code = details.code;
    this.hint = details.hint;
  }
}

/** Any thrown value as one line of text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
