/** Which argument of a request the kernel refused, by the offset of the attribute. */
import { DecodeError } from "../errors.ts";
import { AttrReader } from "../wire/attr_reader.ts";
import { messageType, NLMSG_HDRLEN } from "../wire/message.ts";
import { viewOf } from "../wire/native.ts";
import { TCAMSG_SIZE } from "./action.ts";
import { RTM_GETACTION, RTM_NEWACTION, TCMSG_SIZE } from "./tcmsg.ts";

// The numbers of attributes on the way from the message to one, and its name in plain words: the user may have typed `truncateBytes`,
// `--trunc` or `trunc`. An action is in a list, at 1 or further; a filter has the list in its options, under a number that depends on its
// kind.
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/(^|\/)\d+\/2\/3$/, "rate"],
  [/(^|\/)\d+\/2\/4$/, "truncation"],
  [/(^|\/)\d+\/2\/5$/, "group"],
  [/(^|\/)\d+\/2\/2$/, "index or control"],
  [/^(1|2\/\d+)\/\d+\/6$/, "cookie"],
  [/^11$/, "chain"],
];

/**
 * The argument whose attribute begins at `offset` of a request about traffic control: its name, or else the numbers of
 * the attributes on the way to it; `undefined` if no attribute begins there.
 */
export function refusedArgument(request: Uint8Array, offset: number): string | undefined {
  const view = viewOf(request);
  const type = messageType(request);
  const isAction = type >= RTM_NEWACTION && type <= RTM_GETACTION;
  const path = findAttribute(view, NLMSG_HDRLEN + (isAction ? TCAMSG_SIZE : TCMSG_SIZE), request.length, offset);
  if (!path) return undefined;
  const text = path.join("/");
  const name = NAMES.find(([pattern]) => path.length >= (isAction ? 3 : 1) && pattern.test(text))?.[1];
  return name ?? `attribute ${text}`;
}

/** The types of the attributes from the outermost to the one that begins at `offset`. */
function findAttribute(view: DataView, start: number, end: number, offset: number): number[] | undefined {
  try {
    const attr = new AttrReader(view, start, end);
    while (attr.next()) {
      if (attr.offset - 4 === offset) return [attr.type];
      if (offset < attr.offset || offset >= attr.offset + attr.size) continue;
      const inner = findAttribute(view, attr.offset, attr.offset + attr.size, offset);
      return inner && [attr.type, ...inner];
    }
  } catch (error) {
    // There is no list of attributes there.
    if (!(error instanceof DecodeError)) throw error;
  }
  return undefined;
}
