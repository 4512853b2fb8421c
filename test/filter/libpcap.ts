/** What libpcap says about expressions, by having tcpdump read a file. */
import { execFile } from "node:child_process";

/** The numbers of the packets that tcpdump selects: each was recorded at the second of its number. */
export function picked(path: string, expression: string, optimized: boolean): Promise<number[] | string> {
  return new Promise((resolve) => {
    const words = ["-Z", "root", ...optimized ? [] : ["-O"], "-r", path, "-w", "-", "--", expression];
    execFile("tcpdump", words, { encoding: "buffer", maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      // Found out by the optimizer.
      if (/expression rejects all packets/.test(stderr.toString())) return resolve([]);
      if (error) return resolve(stderr.toString());
      const numbers: number[] = [];
      for (let at = 24; at < stdout.length; at += 16 + stdout.readUInt32LE(at + 8)) numbers.push(stdout.readUInt32LE(at));
      resolve(numbers);
    });
  });
}
