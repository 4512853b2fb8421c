/** Installations that fail and cannot be undone, on a scripted kernel. */
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { addSamplingWith } from "../../src/control/sampling/install.ts";
import type { SamplingOptions } from "../../src/control/sampling/options.ts";
import type { NetlinkError } from "../../src/errors.ts";
import { ENOBUFS, EPERM } from "../../src/sys/sys.ts";
import { TcKernel } from "./tc_kernel.ts";

const BOTH: SamplingOptions = { device: "eth0", rate: 100, group: 3 };
const [RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER] = [37, 44, 45];
const STAYS = "Cannot remove the ingress filter with preference 28787 from eth0: operation not permitted (EPERM)";

/** A kernel that accepts the first filter, refuses the second, and deletes nothing. */
function refusing(): TcKernel {
  const kernel = new TcKernel();
  let filters = 0;
  kernel.refuse = ({ type }) => {
    if (type === RTM_NEWTFILTER && ++filters === 2) return ENOBUFS;
    return type === RTM_DELQDISC || type === RTM_DELTFILTER ? EPERM : undefined;
  };
  return kernel;
}

/** The error there, when something stays. */
async function failureOf(kernel: TcKernel, options: SamplingOptions): Promise<unknown> {
  const failure = await addSamplingWith(kernel, options).then(() => undefined, (error) => ({ error }));
  kernel.assertClean();
  assertEquals(kernel.ours.length > 0, true);
  return failure!.error;
}

test("a refusal that cannot be undone says what stays, is still a refusal, and contains all errors as its cause", async () => {
  const error = await failureOf(refusing(), BOTH) as NetlinkError;
  assertEquals([error.name, error.op, error.code], ["NetlinkError", "sample egress traffic on eth0", "ENOBUFS"]);
  assertStringIncludes(error.message, STAYS);
  assertStringIncludes(error.hint!, "cleanUpSampling()");
  assertEquals((error.cause as AggregateError).errors.map(({ code }: NetlinkError) => code), ["ENOBUFS", "EPERM"]);
});

test("with onWarning what stays is a warning, and the refusal is unchanged", async () => {
  const warnings: string[] = [];
  const error = await failureOf(refusing(), { ...BOTH, onWarning: (message) => warnings.push(message) }) as NetlinkError;
  assertEquals([error.op, error.code, error.cause], ["sample egress traffic on eth0", "ENOBUFS", undefined]);
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0]!, STAYS);
});

test("if an abort cannot be undone, what stays is reported with its reason, of any type", async () => {
  for (const reason of [new Error("enough"), "enough"]) {
    const aborted = async (onWarning?: (message: string) => void): Promise<unknown> => {
      const kernel = new TcKernel();
      const controller = new AbortController();
      kernel.refuse = ({ type }) => {
        if (type === RTM_NEWTFILTER) controller.abort(reason);
        return type === RTM_DELQDISC || type === RTM_DELTFILTER ? EPERM : undefined;
      };
      return await failureOf(kernel, { ...BOTH, signal: controller.signal, onWarning });
    };
    const { message, errors } = await aborted() as AggregateError;
    assert(message.startsWith("enough. What had been added stays"), message);
    assertEquals([errors[0], errors[1].code, errors.length], [reason, "EPERM", 2]);
    const warnings: string[] = [];
    assertEquals(await aborted((warning) => warnings.push(warning)), reason);
    assertEquals(warnings.length, 1);
  }
});
