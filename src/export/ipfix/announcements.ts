/**
 * Records of options: what collectors need to scale and to name what they receive, and PSAMP's own reports (RFC 5476, section 6.5). Templates
 * of options have odd numbers.
 *
 * @module
 */
import type { Domain, Standing } from "./domain.ts";
import {
  ABSOLUTE_ERROR,
  DATA_LINK_FRAME_SIZE,
  EGRESS_INTERFACE,
  type Element,
  IGNORED_PACKET_TOTAL_COUNT,
  INFORMATION_ELEMENT_ID,
  INGRESS_INTERFACE,
  INTERFACE_DESCRIPTION,
  INTERFACE_NAME,
  OBSERVATION_DOMAIN_ID,
  OBSERVATION_TIME_NANOSECONDS,
  SAMPLING_ALGORITHM,
  SAMPLING_INTERVAL,
  SAMPLING_PACKET_INTERVAL,
  SAMPLING_PACKET_SPACE,
  SAMPLING_PROBABILITY,
  SELECTION_SEQUENCE_ID,
  SELECTOR_ALGORITHM,
  SELECTOR_ID,
  SELECTOR_ID_TOTAL_PKTS_OBSERVED,
  SELECTOR_ID_TOTAL_PKTS_SELECTED,
} from "./elements.ts";
import { SET_HEADER_BYTES } from "./message.ts";
import type { ObservedPackets } from "./observed.ts";
import { Template } from "./template.ts";

/** A selector and its rate, in all the elements that collectors look at: 311 is PSAMP's, 305 and 306 are what most of them scale by. */
export const SELECTOR_REPORT: Template = new Template(
  257,
  [SELECTOR_ID, SELECTOR_ALGORITHM, SAMPLING_PACKET_INTERVAL, SAMPLING_PACKET_SPACE, SAMPLING_PROBABILITY],
  1,
);
/** The rate of a domain: goflow2 takes the first of 305, 50 and 34 in the first record of options, and 305 alone is not the rate. */
const DOMAIN_RATE = new Template(259, [OBSERVATION_DOMAIN_ID, SAMPLING_INTERVAL, SAMPLING_ALGORITHM], 1);
const INTERFACE = new Template(261, [INGRESS_INTERFACE, INTERFACE_NAME], 1);
/** The same for nfdump, which wants the interface outside the scope, and only 83 after it. */
const DESCRIPTION = new Template(273, [OBSERVATION_DOMAIN_ID, INGRESS_INTERFACE, INTERFACE_DESCRIPTION], 1);
/** RFC 7011, section 4.2. */
const LOSSES = new Template(263, [OBSERVATION_DOMAIN_ID, IGNORED_PACKET_TOTAL_COUNT], 1);
const INGRESS_SEQUENCE = new Template(265, [SELECTION_SEQUENCE_ID, INGRESS_INTERFACE, SELECTOR_ID], 1);
const EGRESS_SEQUENCE = new Template(267, [SELECTION_SEQUENCE_ID, EGRESS_INTERFACE, SELECTOR_ID], 1);
const STATISTICS = new Template(269, [SELECTION_SEQUENCE_ID, SELECTOR_ID_TOTAL_PKTS_OBSERVED, SELECTOR_ID_TOTAL_PKTS_SELECTED], 1);
const ACCURACY = new Template(271, [INFORMATION_ELEMENT_ID, ABSOLUTE_ERROR], 1);

/** Uniform probabilistic sampling: tc decides for each packet alone (RFC 5477, section 8.2.1). */
const UNIFORM_PROBABILISTIC = 4;
const RANDOM = 2;
const U32 = 0xffff_ffff;
/** If N is a fraction, the rate is announced as "k packets in k * N"; this is the largest k. */
const MULTIPLE = 1000;
/** The frame check sequence, and one VLAN tag that the network card took off: neither is in the size of a sample. */
const FRAME_SIZE_ERROR = 8;
/** The kernel's clock counts nanoseconds. */
const TIME_ERROR = 1;

/** Writes an unsigned 64-bit number that may exceed 32 bits. */
export function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

/** What chooses packets: a psample group with one rate, of one producer. */
export class Selector implements Standing {
  readonly domain: Domain;
  /** The number of the group, if no other selector of this domain has it; else 2^32 or more. */
  readonly id: number;
  /** N of "1 in N". */
  readonly oneIn: number;
  readonly #announced: number;

  /** @param announced N as announced to collectors. */
  constructor(domain: Domain, id: number, oneIn: number, announced: number) {
    this.domain = domain;
    this.id = id;
    this.oneIn = oneIn;
    this.#announced = announced;
  }

  write(domain: Domain): void {
    domain.tell(DOMAIN_RATE);
    domain.tell(SELECTOR_REPORT);
    // A message with the second record and not the first would mean a rate of 1 to goflow2.
    domain.makeRoom(2 * SET_HEADER_BYTES + DOMAIN_RATE.fixedBytes + SELECTOR_REPORT.fixedBytes);
    const n = this.#announced;
    let at = domain.begin(DOMAIN_RATE, DOMAIN_RATE.fixedBytes);
    const { view } = domain;
    view.setUint32(at, domain.id);
    view.setUint32(at + 4, Math.round(n));
    view.setUint8(at + 8, RANDOM);
    domain.endAlone(at + DOMAIN_RATE.fixedBytes);
    at = domain.begin(SELECTOR_REPORT, SELECTOR_REPORT.fixedBytes);
    const interval = Number.isInteger(n) ? 1 : Math.max(1, Math.min(MULTIPLE, Math.floor(U32 / n)));
    setUint64(view, at, this.id);
    view.setUint16(at + 8, UNIFORM_PROBABILISTIC);
    view.setUint32(at + 10, interval);
    view.setUint32(at + 14, Math.round(interval * n) - interval);
    view.setFloat64(at + 18, 1 / n);
    domain.endAlone(at + SELECTOR_REPORT.fixedBytes);
  }
}

/** The name of an interface, which may change. The kernel's are shorter than 16 bytes (IFNAMSIZ); of others 32 bytes are sent. */
export class InterfaceName implements Standing {
  readonly #index: number;
  readonly #bytes = new Uint8Array(INTERFACE_DESCRIPTION.size);
  #name = "";
  #length = 0;

  constructor(index: number) {
    this.#index = index;
  }

  /** Changes the name; false if it is the same. */
  rename(name: string): boolean {
    if (name === this.#name) return false;
    this.#name = name;
    this.#bytes.fill(0);
    this.#length = new TextEncoder().encodeInto(name, this.#bytes).written;
    return true;
  }

  write(domain: Domain): void {
    const length = this.#length;
    let at = domain.begin(INTERFACE, INTERFACE.fixedBytes + 1 + length);
    domain.view.setUint32(at, this.#index);
    domain.view.setUint8(at + 4, length);
    domain.bytes.set(this.#bytes.subarray(0, length), at + 5);
    domain.endAlone(at + 5 + length);
    at = domain.begin(DESCRIPTION, DESCRIPTION.fixedBytes);
    domain.view.setUint32(at, domain.id);
    domain.view.setUint32(at + 4, this.#index);
    domain.bytes.set(this.#bytes, at + 8);
    domain.endAlone(at + DESCRIPTION.fixedBytes);
  }
}

/** How many packets of a domain were selected and then lost on their way to this program. */
export class Losses implements Standing {
  lost = 0;

  write(domain: Domain): void {
    const at = domain.begin(LOSSES, LOSSES.fixedBytes);
    domain.view.setUint32(at, domain.id);
    // A late sample takes back what was counted as lost, perhaps before the first report.
    setUint64(domain.view, at + 4, Math.max(0, this.lost));
    domain.endAlone(at + LOSSES.fixedBytes);
  }
}

/** Where packets are observed, and what chooses among them: a device and a direction, and a selector. */
export class SelectionSequence {
  readonly selector: Selector;
  /** Unique in the domain. */
  readonly id: number;
  /** Unique in the process. */
  readonly number: number;
  readonly isEgress: boolean;
  /** Interfaces as they are exported; 0 if not known. */
  inIndex = 0;
  outIndex = 0;
  /** Packets that were selected, those that were lost included. */
  selected = 0;
  /** The packets among which it selects, if anybody may count them. */
  hook: ObservedPackets | undefined = undefined;

  constructor(selector: Selector, id: number, number: number, isEgress: boolean) {
    this.selector = selector;
    this.id = id;
    this.number = number;
    this.isEgress = isEgress;
  }

  /** About how many packets it has observed. */
  get estimate(): number {
    return Math.max(0, this.selected) * this.selector.oneIn;
  }
}

/** What a selection sequence consists of, and its statistics. */
export class SequenceReport implements Standing {
  readonly #sequence: SelectionSequence;
  /** The packets observed that were reported last: a total does not go back. */
  #observed = 0;

  constructor(sequence: SelectionSequence) {
    this.#sequence = sequence;
  }

  write(domain: Domain): void {
    const { selector, id, isEgress, inIndex, outIndex, selected, hook, estimate } = this.#sequence;
    const template = isEgress ? EGRESS_SEQUENCE : INGRESS_SEQUENCE;
    let at = domain.begin(template, template.fixedBytes);
    setUint64(domain.view, at, id);
    domain.view.setUint32(at + 8, isEgress ? outIndex : inIndex);
    setUint64(domain.view, at + 12, selector.id);
    domain.endAlone(at + template.fixedBytes);
    at = domain.begin(STATISTICS, STATISTICS.fixedBytes);
    setUint64(domain.view, at, id);
    this.#observed = Math.max(this.#observed, selected, Math.round(hook?.of(this.#sequence) ?? estimate));
    setUint64(domain.view, at + 8, this.#observed);
    setUint64(domain.view, at + 16, Math.max(0, selected));
    domain.endAlone(at + STATISTICS.fixedBytes);
  }
}

/** How exact sizes are, and times, unless some were not the kernel's. */
export class Accuracy implements Standing {
  /** Whether the kernel said when each packet was sampled. */
  hasExactTimes = true;

  write(domain: Domain): void {
    this.#writeOne(domain, DATA_LINK_FRAME_SIZE, FRAME_SIZE_ERROR);
    if (this.hasExactTimes) this.#writeOne(domain, OBSERVATION_TIME_NANOSECONDS, TIME_ERROR);
  }

  #writeOne(domain: Domain, element: Element, error: number): void {
    const at = domain.begin(ACCURACY, ACCURACY.fixedBytes);
    domain.view.setUint16(at, element.id);
    domain.view.setFloat64(at + 2, error);
    domain.endAlone(at + ACCURACY.fixedBytes);
  }
}
