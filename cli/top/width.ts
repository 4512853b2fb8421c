/** How many terminal columns a text occupies. */

/**
 * Wide and fullwidth characters (Unicode Standard Annex 11, East_Asian_Width W and F), by blocks: Hangul, CJK, kana, Yi, fullwidth forms,
 * emoji.
 */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const MARK = /\p{M}/u;

/** The columns of a text without control characters. */
export function widthOf(text: string): number {
  // The case of nearly every text.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += MARK.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}
