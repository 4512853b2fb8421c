/** A program with a screen, which ends in the way that its argument names, to test the state of the terminal afterwards. */
import { readlinkSync } from "node:fs";
import process from "node:process";
import { openScreen, type Screen } from "../../../cli/top/terminal.ts";
import { loadSys } from "../../../src/sys/load.ts";

const [how = ""] = process.argv.slice(2);
let typed = "";
/** The terminal, so that its size can be changed. */
const device = readlinkSync("/proc/self/fd/1");
const screen: Screen | undefined = openScreen(await loadSys(), {
  typed: (text) => {
    typed += text;
    draw();
    if (typed.includes("q")) end();
  },
  changed: draw,
  failed: (error) => {
    throw error;
  },
});
if (!screen) {
  process.stdout.write("no screen\n");
  process.exit(0);
}
const going = setInterval(draw, 50);
draw();

function draw(): void {
  if (!screen) return;
  const { columns, rows } = screen.size();
  screen.draw([
    `screen of ${columns} x ${rows}`,
    `typed ${JSON.stringify(typed)}`,
    `on ${device}`,
    screen.hasColors ? "colours" : "no colours",
  ]);
}

function end(): void {
  clearInterval(going);
  switch (how) {
    case "close":
      screen!.close();
      return;
    case "throw":
      setTimeout(() => {
        throw new Error("a bug");
      }, 0);
      return;
    case "reject":
      void Promise.reject(new Error("a bug"));
      return;
    case "exit":
      process.exit(7);
  }
}
