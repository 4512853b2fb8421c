/** Shows a recording that is dropped into the page. The file stays in the browser. */
/// <reference lib="dom" />
import { rowsOf } from "./recording.ts";

const input = document.querySelector<HTMLInputElement>("input")!;
const summary = document.querySelector("p")!;
const body = document.querySelector("tbody")!;

async function* piecesOf(file: File): AsyncGenerator<Uint8Array> {
  const reader = file.stream().getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
}

input.addEventListener("change", async () => {
  const [file] = input.files ?? [];
  if (!file) return;
  try {
    const { rows, lost } = await rowsOf(piecesOf(file));
    summary.textContent = `${rows.length} samples, lost ${lost}`;
    body.replaceChildren(...rows.map(({ at, device, group, oneIn, bytes, packet }) => {
      const row = document.createElement("tr");
      // As text, never as markup: the names of devices and the packets are others'.
      for (const value of [at, device, group, oneIn, bytes, packet]) row.insertCell().textContent = `${value ?? ""}`;
      return row;
    }));
  } catch (error) {
    summary.textContent = error instanceof Error ? error.message : `${error}`;
  }
});
