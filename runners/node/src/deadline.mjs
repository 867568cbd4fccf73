// Waiting for at most so long.
//
// The work itself is not cancelled, only no longer waited for; its late failure is nobody's.

/** The work did not end in time. */
export class TooLate extends Error {}

/** What `work` gives. Rejects with TooLate after `limitMs`. */
export function within(limitMs, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TooLate(`not done after ${limitMs} ms`)), limitMs);
  });
  work.catch(() => {});
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
