/** The commands of the guide, typed unchanged, page by page, on a device of the name that they use: they print what the pages show. */
import { rmSync } from "node:fs";
import { assertEquals } from "@std/assert";
import { assertSameShape, GUIDE, worksAnywhere } from "../support/guide.ts";
import { commandsOn } from "../support/pages.ts";
import { counting, ETH_IPV4, ethernet, ip as ipPacket, join, OURS, PEER, udp, words } from "./frames.ts";
import { openDirectory } from "./runtime.ts";
import { ip, scene, send } from "./scene.ts";
import { installIn, typeLine } from "./typing.ts";

const ETH0 = 150;
const TCP = 6;
/** What the pages show the packets of: DNS, and a connection to a web server. */
const DNS = ethernet(PEER, OURS, ETH_IPV4, udp({ from: "192.0.2.1", to: "192.0.2.53" }, 54818, 53, counting(33)));
const HTTPS = ethernet(
  PEER,
  OURS,
  ETH_IPV4,
  ipPacket({ from: "192.0.2.1", to: "198.51.100.7" }, TCP, join(words(40000, 443, 0, 1, 0, 1, 0x5010, 1024, 0, 0), counting(1400))),
);
const FRAMES = Array.from({ length: 60 }, (_, i) => i % 3 === 0 ? DNS : HTTPS);

/** Commands that do not end on their own. */
const ENDLESS = /^psample( (capture|export) (?!.*--(count|duration|check|explain|dry-run|from)\b).*| -.*)?$/;

/** Those pages that have more than test/docs/guide_test.ts can type: all their commands, because they belong together. */
const pages = GUIDE.filter((page) => commandsOn(page).some(({ command }) => !worksAnywhere(command, ["samples.pcapng"])));

for (const page of pages) {
  scene(`${page}: every command works as it stands there`, "module:dummy", async () => {
    ip(
      `link add name eth0 index ${ETH0} type dummy`,
      "link set dev lo up",
      "link set dev eth0 up",
      "address add 192.0.2.1/24 dev eth0",
    );
    const directory = openDirectory();
    try {
      installIn(directory, "--allow-net");
      for (const typed of commandsOn(page)) {
        const { status, out, err } = await typeLine(typed.command, directory, {
          send: () => send(ETH0, ...FRAMES),
          isEnough: ENDLESS.test(typed.command) ? ({ err }) => /sampling eth0|exporting/.test(err) : undefined,
        });
        assertEquals(status, 0, `${page}: ${typed.command}\n${out}${err}`);
        assertSameShape(out + err, typed);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
