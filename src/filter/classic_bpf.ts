/**
 * Filters as classic BPF programs, for anything that takes packets: a packet socket, tc's `bpf` classifier, a tap.
 * Source: Documentation/networking/filter.rst, include/uapi/linux/bpf_common.h and filter.h.
 */
import type { FirstHeader } from "../packet/packet_view.ts";
import { label } from "./assembler.ts";
import type { Test } from "./condition.ts";
import { FilterError } from "./filter_error.ts";
import { LD_ABSOLUTE, LD_INDIRECT, LD_LENGTH, LDX_HEADER_LENGTH, RETURN } from "./instructions.ts";
import { parseFilter } from "./language/parse.ts";
import { lower } from "./lower.ts";
import { refuseSampleTests, refuseTunnels } from "./refusals.ts";
import { TestCode } from "./test_code.ts";

const WHOLE = 0xffffffff;

/**
 * Compiles an expression of pcap-filter(7) to a program of classic BPF (`struct sock_filter`, 8 bytes an instruction) for packets that
 * begin with `first`. It returns `keepBytes`, by default the whole packet, for one that matches, and 0 for all others.
 *
 * If the kernel keeps a packet's VLAN tag beside its bytes, the packet has no tag here.
 *
 * @throws {FilterError} if the expression is invalid, asks for something that only samples have or for a packet inside a tunnel, or is too
 * long for the kernel.
 * @category Filters
 */
export function compileBpf(expression: string, first: FirstHeader, keepBytes: number = WHOLE): Uint8Array<ArrayBuffer> {
  const refuse = (why: string): FilterError => new FilterError(expression, { start: 0, end: expression.length }, why);
  return compileTest(packetTest(expression, first), refuse, { keepBytes });
}

/**
 * The test that an expression is, for programs that are given packets beginning with `first`.
 *
 * @throws {FilterError} if the expression is invalid, or asks for something that only samples have, or for a packet inside a tunnel.
 */
export function packetTest(expression: string, first: FirstHeader): Test {
  const tree = parseFilter(expression);
  if (!tree) return { kind: "constant", value: true };
  refuseSampleTests(expression, tree);
  refuseTunnels(expression, tree);
  return lower(expression, tree, first);
}

/** How to compile a test, for {@linkcode compileTest}. */
export interface CompileOptions {
  /** The return value for packets that match. Defaults to the whole packet. */
  readonly keepBytes?: number;
  /** Maximum number of instructions. Defaults to the kernel's limit. */
  readonly most?: number;
}

/**
 * Compiles a test of packets to a program.
 *
 * @param refuse Makes the error about what a program cannot do.
 */
export function compileTest(
  test: Test,
  refuse: (why: string) => Error,
  { keepBytes = WHOLE, most }: CompileOptions = {},
): Uint8Array<ArrayBuffer> {
  return new PacketCode(refuse).compile(test, keepBytes, most);
}

/** Code for programs that are given the packet itself. */
class PacketCode extends TestCode {
  compile(test: Test, keepBytes: number, most: number | undefined): Uint8Array<ArrayBuffer> {
    const accept = label();
    this.test(test, accept, this.fail);
    this.code.place(accept);
    this.code.add(RETURN, keepBytes);
    this.code.place(this.fail);
    this.code.add(RETURN, 0);
    return this.code.assemble(this.refuse, most);
  }

  protected absolute(size: 1 | 2 | 4, offset: number): void {
    this.code.add(LD_ABSOLUTE[size], offset);
  }

  protected behindHeader(size: 1 | 2 | 4, header: number, offset: number): void {
    this.code.add(LDX_HEADER_LENGTH, header);
    this.indexed(size, offset);
  }

  protected indexed(size: 1 | 2 | 4, offset: number): void {
    this.code.add(LD_INDIRECT[size], offset);
  }

  protected length(): void {
    this.code.add(LD_LENGTH);
  }

  protected beside(): never {
    throw new Error("samples and tunnels were refused before");
  }
}
