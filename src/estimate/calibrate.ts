/**
 * Replaces estimates from samples by what counters show: for each device and direction, and for their total.
 *
 * @module
 */
import type { Calibrated, Calibration } from "./calibration.ts";
import type { DeviceEstimate, FlowEstimate, Snapshot } from "./estimator.ts";
import { type Interval, shareInterval } from "./intervals.ts";
import { FRAME_OVERHEAD_BYTES } from "./segments.ts";
import type { Estimate } from "./sums.ts";

/**
 * A snapshot in which the figures of devices and of the total are calibrated, as far as the counters allow. Flows stay estimated, unless
 * only device and direction tell them apart. Returns the same snapshot if nothing can be calibrated.
 *
 * @param horizon The horizon of the snapshot.
 */
export function calibrate(snapshot: Snapshot, calibration: Calibration, horizon = 0): Snapshot {
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
  const withShare = <Flow extends FlowEstimate>(flow: Flow): Flow =>
    !flow.calibrated ? flow : ({
      ...flow,
      share: total.bytes > 0 ? Math.min(1, flow.bytes / total.bytes) : 0,
      shareRange: shareInterval(flow.bytes, flow.bytesRange, total.bytes, total.bytesRange),
    });
  const devices = estimates.map(withShare);
  return { ...snapshot, total, devices, flows: snapshot.flows.map((flow) => withShare(flowOf(flow, snapshot, devices))) };
}

function scaled({ name, packets, bytes }: Calibrated, factor: number): Calibrated {
  const scale = (estimate: Estimate | undefined): Estimate | undefined =>
    estimate && { value: estimate.value * factor, range: times(estimate.range, factor) };
  return factor === 1 ? { name, packets, bytes } : { name, packets: scale(packets), bytes: scale(bytes) };
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

/** The flow with calibrated figures if its only keys are the device, or device and direction; otherwise as it was. */
function flowOf(flow: FlowEstimate, { by, seconds }: Snapshot, devices: readonly DeviceEstimate[]): FlowEstimate {
  const at = (key: string): number => by.indexOf(key);
  if (at("device") < 0 || by.some((key) => key !== "device" && key !== "direction")) return flow;
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
