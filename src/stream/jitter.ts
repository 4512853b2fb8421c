/** The least part of a period that passes. */
export const LEAST = 0.75;

/**
 * At most `period`, and by chance up to a quarter less. What programs on many machines do again and again they must not do at the same
 * moment, although they were started together, or have met by chance.
 *
 * @param random Between 0 and 1.
 */
export function jittered(period: number, random: () => number): number {
  return period * (LEAST + (1 - LEAST) * random());
}
