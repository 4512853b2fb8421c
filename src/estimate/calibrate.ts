/**
 * Replaces estimates from samples by what counters show: for each device and direction, for their total, and for the flows on them.
 *
 * @module
 */
import type { Calibrated, Calibration } from "./calibration.ts";
import type { DeviceEstimate, FlowEstimate, Snapshot, WholeParts } from "./estimator.ts";
import type { FlowPart } from "./flow_parts.ts";
import { type Interval, shareInterval } from "./intervals.ts";
import { FRAME_OVERHEAD_BYTES } from "./segments.ts";
import type { Estimate } from "./sums.ts";

/**
 * A snapshot in which the figures of devices and of the total are calibrated, as far as the counters allow. Flows that only device and
 * direction tell apart have the figures of these. Others are estimated as shares of them if the estimator keeps their
 * {@linkcode EstimatorOptions.parts}: together they are as much as the total then, and none is more than its device. Without parts they stay
 * as they were. Returns the same snapshot if nothing can be calibrated.
 *
 * @param horizon The horizon of the snapshot.
 * @param order The order of the snapshot's flows. Defaults to bytes.
 * @category Estimates
 */
export function calibrate(
  snapshot: Snapshot,
  calibration: Calibration,
  horizon = 0,
  order: "bytes" | "packets" = "bytes",
): Snapshot {
  const figures = calibration.figures(horizon);
  if (!figures.some(({ name, packets, bytes }) => name !== undefined && (packets ?? bytes))) return snapshot;
  const counted = calibration.seconds(horizon);
  // Decaying figures are as of the last reading of the counters; this assumes the same rate until now.
  const factor = counted > 0 && snapshot.seconds > 0 && calibration.decays(horizon) ? snapshot.seconds / counted : 1;
  const byName = new Map(figures.flatMap((figure) => figure.name === undefined ? [] : [[figure.name, scaled(figure, factor)] as const]));
  const estimates = snapshot.devices.map((device) => deviceOf(device, byName.get(device.by.join(" ")), snapshot.seconds));
  const heard = new Set(snapshot.devices.filter(({ samples }) => samples > 0).map(({ by }) => by.join(" ")));
  const silent = calibration.countsAll ? figures.filter(({ name }) => !heard.has(name!)).map((figure) => scaled(figure, factor)) : [];
  const total = totalOf(snapshot.total, estimates, silent, snapshot.seconds);
  const withShare = <Flow extends FlowEstimate>(flow: Flow): Flow => ({
    ...flow,
    share: total.bytes > 0 ? Math.min(1, flow.bytes / total.bytes) : 0,
    shareRange: shareInterval(flow.bytes, flow.bytesRange, total.bytes, total.bytesRange),
  });
  const devices = estimates.map((device) => device.calibrated ? withShare(device) : device);
  const { parts } = snapshot;
  const isOfDevices = snapshot.by.includes("device") && snapshot.by.every((key) => key === "device" || key === "direction");
  if (!isOfDevices && !parts) return { ...snapshot, total, devices };
  const wholes = parts && snapshot.devices.map((device, i): Whole => {
    const counted = byName.get(device.by.join(" "))?.trials;
    return { before: device, after: devices[i]!, parts: parts.devices[i]!, counted };
  });
  const all = parts && { before: snapshot.total, after: total, parts: parts.total, counted: undefined };
  const flows = snapshot.flows.map((flow, i) => {
    if (!isOfDevices) return withLowShare(withShare(sharing(flow, parts!.flows[i]!, wholes!, all!, snapshot.seconds)), total);
    const one = flowOf(flow, snapshot, devices);
    return one.calibrated ? withShare(one) : one;
  });
  return { ...snapshot, total, devices, flows: flows.sort((a, b) => b[order] - a[order]) };
}

function scaled({ name, packets, bytes, trials }: Calibrated, factor: number): Calibrated {
  const scale = (estimate: Estimate | undefined): Estimate | undefined =>
    estimate && { value: estimate.value * factor, range: times(estimate.range, factor) };
  return { name, packets: scale(packets), bytes: scale(bytes), trials: trials && trials * factor };
}

function deviceOf(device: DeviceEstimate, figure: Calibrated | undefined, seconds: number): DeviceEstimate {
  // Without any counted samples there is nothing to calibrate.
  if (!figure || !(figure.packets ?? figure.bytes) || device.samples === 0) return device;
  const one = figured(device, figure.packets, figure.bytes, seconds);
  // The number of packets is the counted one, and their average size is that of the samples.
  const ratio = device.bytes > 0 ? one.bytes / device.bytes : 1;
  const overhead = FRAME_OVERHEAD_BYTES * (one.packets - device.packets * ratio);
  const wireBytes = Math.max(0, device.wireBytes * ratio + overhead);
  const per = one.bytes > 0 ? wireBytes / one.bytes : 0;
  const [low, high] = figure.bytes ? times(one.bytesRange, per) : device.wireBytesRange;
  return { ...one, wireBytes, wireBytesRange: [Math.min(low, wireBytes), Math.max(high, wireBytes)] };
}

/** The same flow with these figures. */
function figured<Flow extends FlowEstimate>(flow: Flow, packets: Estimate | undefined, bytes: Estimate | undefined, seconds: number): Flow {
  const calibrated = [...packets ? ["packets" as const] : [], ...bytes ? ["bytes" as const] : []];
  return {
    ...flow,
    ...packets ? { packets: packets.value, packetsRange: packets.range } : {},
    ...bytes ? { bytes: bytes.value, bytesRange: bytes.range, bitsPerSecond: seconds > 0 ? 8 * bytes.value / seconds : 0 } : {},
    calibrated: calibrated.length > 0 ? calibrated : undefined,
  };
}

/** The total of all devices and directions; there were no samples of those in `silent`. */
function totalOf(total: FlowEstimate, devices: readonly DeviceEstimate[], silent: readonly Calibrated[], seconds: number): FlowEstimate {
  const present = devices.filter(({ samples }) => samples > 0);
  const packets = sumOf([...present.map(packetsOf), ...silent.flatMap(({ packets }) => packets ?? [])]);
  const bytes = sumOf([...present.map(bytesOf), ...silent.flatMap(({ bytes }) => bytes ?? [])]);
  const sure = (["packets", "bytes"] as const).filter((what) => areSure(present, what));
  return { ...figured(total, packets, bytes, seconds), calibrated: sure.length > 0 ? sure : undefined };
}

function packetsOf({ packets, packetsRange }: FlowEstimate): Estimate {
  return { value: packets, range: packetsRange };
}

function bytesOf({ bytes, bytesRange }: FlowEstimate): Estimate {
  return { value: bytes, range: bytesRange };
}

function areSure(flows: readonly FlowEstimate[], what: "packets" | "bytes"): boolean {
  return flows.every(({ calibrated }) => calibrated?.includes(what));
}

/** The sum of independent estimates: their errors add up in squares. */
function sumOf(estimates: readonly Estimate[]): Estimate {
  const value = estimates.reduce((sum, one) => sum + one.value, 0);
  const distance = (end: 0 | 1): number => Math.hypot(...estimates.map((one) => one.range[end] - one.value));
  return { value, range: [Math.max(0, value - distance(0)), value + distance(1)] };
}

/** The flow, whose share has the lower bound that its bytes have. */
function withLowShare(flow: FlowEstimate, { bytesRange: [low] }: FlowEstimate): FlowEstimate {
  const [least, high] = flow.shareRange;
  return { ...flow, shareRange: [low > 0 ? Math.min(least, flow.bytesRange[0] / low) : least, high] };
}

/** What flows are parts of, as it was estimated and as it is after calibration. */
interface Whole {
  readonly before: FlowEstimate;
  readonly after: FlowEstimate;
  readonly parts: WholeParts;
  /** Packets that the sampler counted, each GSO packet once, if it also counted what became of them. */
  readonly counted: number | undefined;
}

/** The flow as the sum of its shares of what it is part of; `all` is everything. */
function sharing(flow: FlowEstimate, parts: readonly FlowPart[], wholes: readonly Whole[], all: Whole, seconds: number): FlowEstimate {
  const of = (part: FlowPart): Whole => part.device === undefined ? all : wholes[part.device]!;
  const packets = sumOf(parts.map((part) => packetsIn(of(part), part)));
  const bytes = sumOf(parts.map((part) => bytesIn(of(part), part)));
  // Nobody knows of which device the bytes were that it may have taken over from other flows.
  const overcountAtMost = all.before.bytes > 0 ? flow.overcountAtMost * all.after.bytes / all.before.bytes : flow.overcountAtMost;
  const own = bytes.value + overcountAtMost;
  return {
    ...flow,
    packets: packets.value,
    packetsRange: packets.range,
    bytes: own,
    bytesRange: [bytes.range[0], bytes.range[1] + overcountAtMost],
    bitsPerSecond: seconds > 0 ? 8 * own / seconds : 0,
    overcountAtMost,
  };
}

function bytesIn({ before, after, parts }: Whole, { bytes }: FlowPart): Estimate {
  if (after.bytes === before.bytes && after.bytesRange === before.bytesRange) return bytes;
  return shareOf(bytes, bytesOf(before), bytesOf(after), parts.unseenBytes);
}

function packetsIn({ before, after, parts: { trials, unseenPackets }, counted }: Whole, part: FlowPart): Estimate {
  if (after.packets === before.packets && after.packetsRange === before.packetsRange) return part.packets;
  // What is not segmented is one packet for sure: only the segments beyond the first of each GSO packet are not as many as was assumed.
  const more = before.packets - trials;
  const share = before.packets > 0 ? part.packets.value / before.packets : 0;
  const splits = counted !== undefined && more > 1e-9 * before.packets && share > 0 && after.packets > 0;
  const value = splits
    ? counted * part.trials / trials + (after.packets - counted) * Math.max(0, part.packets.value - part.trials) / more
    : share * after.packets;
  return shareOf(part.packets, packetsOf(before), packetsOf(after), unseenPackets, splits ? value / (share * after.packets) : 1);
}

/**
 * What an estimated part of an estimated whole is of the calibrated whole. A share is more certain than an amount, since the rest does not
 * vary with the part.
 *
 * @param unseen Upper bound of another part that has no sample: even if all samples are of this one, there may be another.
 * @param factor How many times as much as its share.
 */
function shareOf(part: Estimate, before: Estimate, after: Estimate, unseen: number, factor = 1): Estimate {
  const share = before.value > 0 ? part.value / before.value : 0;
  const [least, high] = shareInterval(part.value, part.range, before.value, before.range);
  // If all of n samples are of one part, its share is at least 0.025 to the power of 1/n: `unseen` is -ln(0.025) times a sample's weight.
  const low = Math.min(least, before.value > 0 ? share * Math.exp(-unseen / before.value) : 0);
  const value = Math.min(share * factor * after.value, after.value);
  const range: Interval = [low * factor * after.range[0], Math.min(high * factor * after.range[1], after.range[1])];
  // Of a small part its own bounds are narrower.
  const own = part.value > 0 ? times(part.range, value / part.value) : range;
  return { value, range: [Math.min(Math.max(range[0], own[0]), value), Math.max(Math.min(range[1], own[1]), value)] };
}

/** The flow with calibrated figures, if its devices have any. */
function flowOf(flow: FlowEstimate, { by, seconds }: Snapshot, devices: readonly DeviceEstimate[]): FlowEstimate {
  const at = (key: string): number => by.indexOf(key);
  const own = devices.filter(({ by: [device, direction], samples }) =>
    samples > 0 && device === flow.by[at("device")] && (at("direction") < 0 || direction === flow.by[at("direction")])
  );
  if (own.length === 0) return flow;
  const packets = areSure(own, "packets") ? sumOf(own.map(packetsOf)) : undefined;
  const bytes = areSure(own, "bytes") ? sumOf(own.map(bytesOf)) : undefined;
  return packets ?? bytes ? figured(flow, packets, bytes, seconds) : flow;
}

function times([low, high]: Interval, factor: number): Interval {
  return [low * factor, high * factor];
}
