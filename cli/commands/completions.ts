/** `psample completions`: what makes a shell complete the command. */
import { type Command, command } from "../command.ts";
import { BASH } from "../completion/bash.ts";
import { FISH } from "../completion/fish.ts";
import { ZSH } from "../completion/zsh.ts";
import { UsageError } from "../options.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** The scripts of the shells. */
export const COMPLETION_SCRIPTS: Readonly<Record<typeof SHELLS[number], string>> = { bash: BASH, zsh: ZSH, fish: FISH };

/** The command `completions`. */
export const completions: Command = command({
  name: "completions",
  summary: "print the script that makes bash, zsh or fish complete psample",
  usage: "completions bash|zsh|fish",
  about:
    "Prints a script for the shell. It completes commands, options and their values, files, and what exists at that moment: devices, " +
    "groups and network namespaces. For that the script runs psample itself, as the current user; that needs no privileges, and changes " +
    "nothing. Only the devices and groups of --netns NAME require the right to enter it. psample must be in PATH, or be called by its " +
    "path.",
  examples: [
    [
      "psample completions bash > ~/.local/share/bash-completion/completions/psample",
      "for one user of bash, with the package bash-completion",
    ],
    ["source <(psample completions bash)", "in ~/.bashrc: without that package"],
    ["psample completions zsh > ~/.zfunc/_psample", "for zsh, if ~/.zshrc has fpath+=~/.zfunc before compinit"],
    ["source <(psample completions zsh)", "in ~/.zshrc, after compinit: without a file"],
    ["psample completions fish > ~/.config/fish/completions/psample.fish", "for one user of fish"],
  ],
  options: {},
  operands: { name: "SHELL", least: 1, most: 1, offers: { words: SHELLS } },
  run: async ({ words }, io) => {
    const shell = SHELLS.find((shell) => shell === words[0]);
    if (shell === undefined) throw new UsageError(`unknown shell ${JSON.stringify(words[0])}: expected bash, zsh or fish`);
    await io.data(COMPLETION_SCRIPTS[shell]);
    return 0;
  },
});
