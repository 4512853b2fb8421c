/** `--netns` on this machine's own kernel: in a user namespace, which needs no privileges. */
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { COMMAND } from "../support/command.ts";

const USER = ["--user", "--map-root-user"];
const possible = spawnSync("unshare", [...USER, "unshare", "--net", "true"]).status === 0;

test("a namespace is not entered if there is no way back", { skip: possible ? false : "this system allows no user namespaces" }, () => {
  // In a user namespace a process may enter network namespaces created there, but not the one that it came from.
  const made = 'unshare --net sleep 1000 & until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.1; done';
  const asked = '"$0" "$@" --netns /proc/$!/ns/net; status=$?; kill $!; exit $status';
  const { status, stdout, stderr } = spawnSync("unshare", [...USER, "sh", "-c", `${made}; ${asked}`, ...COMMAND, "list"], {
    encoding: "utf8",
  });
  assertEquals([status, stdout], [1, ""], stderr);
  assertStringIncludes(
    stderr,
    "operation not permitted (EPERM). It requires CAP_SYS_ADMIN also in the user namespace that owns the network",
  );
  assertStringIncludes(stderr, "no way back");
});
