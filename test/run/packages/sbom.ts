/** What the files contain: a software bill of materials in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/), as JSON. */
import { createHash } from "node:crypto";

/** A file that is offered. */
export interface Artifact {
  name: string;
  /** SHA-256, hexadecimal. */
  sha256: string;
}

/** The versions of what is in the executable. */
export interface Contents {
  version: string;
  bun: string;
  std: string;
  /** The time of the sources, in seconds since 1970. */
  seconds: number;
}

/** The document, as text. */
export function sbom(artifacts: readonly Artifact[], { version, bun, std, seconds }: Contents): string {
  const part = (name: string, versionInfo: string, license: string, purl: string): object => ({
    SPDXID: `SPDXRef-${name}`,
    name,
    versionInfo,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: license,
    licenseDeclared: license,
    copyrightText: "NOASSERTION",
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
  });
  const files = artifacts.map(({ name, sha256 }, i) => ({
    SPDXID: `SPDXRef-file-${i + 1}`,
    fileName: `./${name}`,
    checksums: [{ algorithm: "SHA256", checksumValue: sha256 }],
    licenseConcluded: "NOASSERTION",
    copyrightText: "NOASSERTION",
  }));
  const relation = (from: string, relationshipType: string, to: string): object => ({
    spdxElementId: `SPDXRef-${from}`,
    relationshipType,
    relatedSpdxElement: `SPDXRef-${to}`,
  });
  const content = createHash("sha256").update(artifacts.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("")).digest("hex");
  const document = {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `psample-${version}`,
    documentNamespace: `https://spdx.org/spdxdocs/psample-${version}-${content}`,
    creationInfo: {
      created: new Date(seconds * 1000).toISOString().replace(/\.\d+/, ""),
      creators: ["Organization: psample", "Tool: deno task package"],
    },
    packages: [
      part("psample", version, "Apache-2.0", `pkg:jsr/@psample/psample@${version}`),
      part("deno-std", std, "MIT", `pkg:npm/deno-std@${std}`),
      // With what Bun itself contains, which its own documentation lists.
      part("bun", bun, "NOASSERTION", `pkg:npm/bun@${bun}`),
    ],
    files,
    relationships: [
      relation("DOCUMENT", "DESCRIBES", "psample"),
      relation("psample", "STATIC_LINK", "deno-std"),
      relation("psample", "STATIC_LINK", "bun"),
      ...files.map(({ SPDXID }) => relation(SPDXID.replace("SPDXRef-", ""), "GENERATED_FROM", "psample")),
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
