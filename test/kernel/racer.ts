/** Sends a frame on a device many times, as fast as it can: `racer.ts DEVICE COUNT`. */
import process from "node:process";
import { frameOut } from "./frames.ts";
import { type Device, Sender } from "./scene.ts";

const [device = "", count = ""] = process.argv.slice(2);
using sender = new Sender(device as Device, frameOut());
sender.send(Number(count));
