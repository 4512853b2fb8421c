/** What `psample export` is to do: what the command line says, and a configuration file. */
import type { SamplingOptions } from "../../mod.ts";
import { checkCollectors } from "../collectors.ts";
import { type Config, ConfigReader } from "../config.ts";
import { checkAny, type Known } from "../devices.ts";
import { checkDrops } from "../drops.ts";
import { parseDevice } from "../export_rates.ts";
import type { Io } from "../io.ts";
import { NamedDevices } from "../named_devices.ts";
import { shellWord } from "../../src/wire/text.ts";
import { concerning, longName, type OptionTexts, type Parsed, UsageError, valuesOf } from "../options.ts";
import { refuseFilter } from "./capture.ts";
import { checkFrom } from "./export_from.ts";
import { EXPORT_OPTIONS, type ExportValues, NOT_IN_CONFIG } from "./export_options.ts";
import { checkSampling, devicePlans, refuseSampling } from "./sampling.ts";

/** The settings that are in force, or are to be. */
export interface ExportSettings {
  readonly options: ExportValues;
  /** The options that were given, on the command line or in the file. */
  readonly given: ReadonlySet<string>;
  /** What they were given. */
  readonly texts: OptionTexts;
  /** The file; `undefined` without one. */
  readonly path: string | undefined;
  /** The devices to sample. */
  readonly named: NamedDevices;
  /** An error about the settings, with the place in the file that it is about. */
  locate(error: unknown): unknown;
}

/** How a present device is to be sampled, without a rate if that depends on its link. */
export function planFor({ options, given, named }: ExportSettings, device: Known): SamplingOptions {
  const [plan] = devicePlans([device.name], options, given) as [SamplingOptions];
  return { ...plan, rate: named.rateOf(device) ?? options.rate };
}

/** Reads the settings; from a file, as often as it changes. */
export class ExportSettingsReader {
  readonly #typed: Parsed<typeof EXPORT_OPTIONS>;
  readonly #file: ConfigReader | undefined;
  readonly #usage: string;

  /** Settings from this command line; `usage` is the one of the command. */
  constructor(typed: Parsed<typeof EXPORT_OPTIONS>, usage: string, io: Io) {
    this.#typed = typed;
    this.#usage = usage;
    const { config } = typed.options;
    this.#file = config === undefined ? undefined : new ConfigReader(config, EXPORT_OPTIONS, NOT_IN_CONFIG, io);
  }

  /** The name of the file; `undefined` without one. */
  get path(): string | undefined {
    return this.#file?.path;
  }

  /**
   * Reads and checks everything. Nothing is set up yet.
   *
   * @throws {UsageError} if something is wrong.
   * @throws {SystemError} if there is no such file.
   */
  async read(): Promise<ExportSettings> {
    // Before the file is looked at: what is wrong with the command line is wrong with any file.
    refuseFilter(this.#typed.words);
    const file = this.#typed.words.find((word) => /\.conf$/.test(word));
    if (file !== undefined) throw new UsageError(`${JSON.stringify(file)} is a file: did you mean --config ${shellWord(file)}?`);
    checkFrom(this.#typed.options, this.#typed.given, this.#typed.words);
    const config = await this.#file?.read();
    const locate = (error: unknown): unknown => config ? config.locate(error, this.#replaced) : error;
    try {
      return { ...this.#check(config), locate };
    } catch (error) {
      throw locate(error);
    }
  }

  /** The options of which only the command line counts. */
  get #replaced(): ReadonlySet<string> {
    const { given, words } = this.#typed;
    return words.length > 0 ? new Set([...given, "device"]) : given;
  }

  #check(config: Config | undefined): Omit<ExportSettings, "locate"> {
    const { words } = this.#typed;
    let { options, given, texts } = this.#typed;
    if (config) {
      texts = new Map([...config.texts(this.#replaced), ...this.#typed.texts]);
      options = valuesOf(texts, EXPORT_OPTIONS);
      given = new Set(texts.keys());
    }
    const named = [...options.device ?? [], ...words].map((word) => concerning({ keys: ["device"], value: word }, () => parseDevice(word)));
    const settings = { options, given, texts, path: config && this.#file!.path };
    if (!options.explain) checkCollectors(options, given);
    if (!options.explain) checkDrops(options, given);
    if (options.from) return { ...settings, named: new NamedDevices([]) };
    if (named.length === 0) refuseSampling(given, this.#usage);
    const listens = (["allNamespaces", "wait"] as const).find((name) => named.length > 0 && options[name]);
    if (listens) {
      throw new UsageError(`${longName(listens)} is about what is sampled already: no DEVICE can be given with it`, { keys: [listens] });
    }
    // What is wrong here is wrong at a reload too, where the devices are not looked for in the same way.
    const devices = named.map(({ device }) => device);
    checkAny(devices);
    if (devices.length > 0) checkSampling(devices, options);
    return { ...settings, named: new NamedDevices(named) };
  }
}
