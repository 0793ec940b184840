// Pixels from the server: tiles of a picture at one scale, kept for the scales seen last.
//
// A level is the whole picture at a scale, in pixels of the screen. Its tiles start where the screen did when
// the level was made, so that a screen at rest needs no more pixels than it shows.

import { ask } from "./server.js";

const LEVELS = 4;

export async function pixels(values, width, height, signal) {
  const answer = await ask("part", values, { signal });
  const data = new Uint8ClampedArray(await answer.arrayBuffer());
  return createImageBitmap(new ImageData(data, width, height));
}

// As the server rounds sizes.
export const round = value => Math.max(1, Math.floor(value + 0.5 + 1e-9));

export class Layer {
  constructor(kind, changed) {
    this.kind = kind;
    this.changed = changed;
    this.levels = [];
  }

  clear() {
    this.levels.forEach(level => level.abort.abort());
    this.levels = [];
  }

  // Fetch what a box (left, top, right, bottom) of the whole at `scale` lacks, its middle first.
  need(picture, values, scale, box, grid) {
    let level = this.levels.at(-1);
    if (level?.scale !== scale) {
      level?.abort.abort();
      level = {
        scale, width: round(picture.width * scale), height: round(picture.height * scale),
        x: grid.left, y: grid.top, w: grid.width, h: grid.height,
        tiles: new Map(), abort: new AbortController(),
      };
      this.levels = [...this.levels.filter(old => old.scale !== scale), level].slice(-LEVELS);
    }
    for (const [column, row] of inside(level, box)) {
      const key = `${column},${row}`;
      if (!level.tiles.has(key)) this.fetch(picture, values, level, key, column, row);
    }
  }

  async fetch(picture, values, level, key, column, row) {
    const left = Math.max(0, level.x + column * level.w), top = Math.max(0, level.y + row * level.h);
    const width = Math.min(level.width, level.x + (column + 1) * level.w) - left;
    const height = Math.min(level.height, level.y + (row + 1) * level.h) - top;
    const tile = { left, top, width, height, bitmap: null };
    level.tiles.set(key, tile);
    const part = { kind: this.kind, id: picture.id, scale: level.scale, box: `${left},${top},${width},${height}` };
    try {
      tile.bitmap = await pixels({ ...values, ...part }, width, height, level.abort.signal);
      this.changed();
    } catch (problem) {
      level.tiles.delete(key);
      if (problem.name !== "AbortError") this.changed(problem);
    }
  }

  // Whether all of a box is there.
  has(scale, box) {
    const level = this.levels.at(-1);
    return level?.scale === scale &&
      inside(level, box).every(([column, row]) => level.tiles.get(`${column},${row}`)?.bitmap);
  }

  // Draw what there is; older levels, too, unless the latest has all of a box.
  draw(context, view, picture, box) {
    for (const level of this.has(view.zoom, box) ? this.levels.slice(-1) : this.levels) {
      const exact = level.scale === view.zoom;
      const [x, y] = view.corner(level);
      const across = picture.width / level.width * view.zoom, down = picture.height / level.height * view.zoom;
      for (const tile of level.tiles.values()) {
        if (!tile.bitmap) continue;
        if (exact) context.drawImage(tile.bitmap, tile.left - x, tile.top - y);
        else context.drawImage(tile.bitmap, tile.left * across - view.left(), tile.top * down - view.top(),
          tile.width * across, tile.height * down);
      }
    }
  }
}

// Columns and rows of the tiles of a level in a box, those in its middle first.
function inside(level, [left, top, right, bottom]) {
  left = Math.max(0, left); top = Math.max(0, top);
  right = Math.min(level.width, right); bottom = Math.min(level.height, bottom);
  const found = [];
  if (left >= right || top >= bottom) return found;
  const index = (at, start, side) => Math.floor((at - start) / side);
  for (let row = index(top, level.y, level.h); row <= index(bottom - 1, level.y, level.h); row++)
    for (let column = index(left, level.x, level.w); column <= index(right - 1, level.x, level.w); column++)
      found.push([column, row]);
  const far = ([column, row]) => Math.hypot(level.x + (column + .5) * level.w - (left + right) / 2,
    level.y + (row + .5) * level.h - (top + bottom) / 2);
  return found.sort((one, other) => far(one) - far(other));
}
