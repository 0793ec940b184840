// The position tokens (LPs) of the place under the cursor.

import { ask } from "./server.js";

const at = id => document.getElementById(id);
let abort = null;

export async function showSpot(picture, look, [x, y]) {
  abort?.abort();
  abort = new AbortController();
  const place = [Math.floor(x), Math.floor(y)];
  if (place[0] < 0 || place[1] < 0 || place[0] >= picture.width || place[1] >= picture.height) return;
  try {
    const answer = await ask("lps", { id: picture.id, ...look, at: place.join() }, { signal: abort.signal });
    draw(place, await answer.json());
  } catch (problem) {
    if (problem.name !== "AbortError") at("spot-words").textContent = problem.message;
  }
}

function draw(place, { alike, changes, box }) {
  const most = Math.max(1e-6, ...changes.flat(2));
  at("spot-maps").replaceChildren(...changes.map((rows, index) => map(rows, most, index)));
  at("spot-words").textContent = `The ${changes.length} tokens at ${place.join(", ")}: where the picture changes without ` +
    `each of them, by up to ${most.toFixed(1)} of 255 levels, in ${box[3] - box[1]} × ${box[2] - box[0]} pixels.`;
  const rows = alike.map(values => {
    const row = document.createElement("tr");
    for (const value of values) {
      const cell = row.insertCell();
      cell.textContent = value.toFixed(2).replace("-", "−");
      cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(45 * Math.abs(value))}%, transparent)`;
    }
    return row;
  });
  at("spot-alike").tBodies[0].replaceChildren(...rows);
}

function map(rows, most, index) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [rows[0].length, rows.length];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Change without token ${index + 1}, ` +
    `at most ${Math.max(...rows.flat()).toFixed(1)} levels`);
  const image = new ImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, pixel) => {
    const share = Math.sqrt(value / most);
    image.data.set([255 * Math.min(1, 1.6 * share), 255 * share ** 1.6, 255 * (.12 + .35 * share ** 4), 255], 4 * pixel);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
