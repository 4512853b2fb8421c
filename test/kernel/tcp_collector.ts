/** A collector of IPFIX by TCP as a program, so that it can be in another network namespace, and be killed: `tcp_collector.ts PORT`. */
import process from "node:process";
import { IpfixDecoder } from "../export/ipfix/decoder.ts";
import { TcpReceiver } from "../support/tcp_receiver.ts";

const receiver = await TcpReceiver.listen({ port: Number(process.argv[2]), address: process.argv[3] ?? "127.0.0.1" });
process.stdout.write(`listening on ${receiver.port}\n`);
const decoders: IpfixDecoder[] = [];
let reports = 0;
const read: number[] = [];
setInterval(() => {
  const before = reports;
  receiver.streams.forEach((_, i) => {
    const decoder = decoders[i] ??= new IpfixDecoder();
    const { messages } = receiver.messages(i);
    for (const message of messages.slice(read[i] ?? 0)) {
      reports += decoder.read(message).records.filter(({ scopes }) => scopes === 0).length;
    }
    read[i] = messages.length;
  });
  if (reports > before) process.stdout.write(`${reports} reports by ${receiver.streams.length} connections\n`);
}, 20);
