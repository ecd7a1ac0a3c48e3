/**
 * Settles as `promise` does, or rejects with the error of `onTimeout` once `withinMs` have passed.
 * The work itself goes on; what comes of it later is ignored, an error too.
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  withinMs: number,
  onTimeout: () => Error,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(onTimeout()), withinMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
