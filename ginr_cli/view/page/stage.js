// The picture on the screen: where one looks, what is drawn there, and what is still to be fetched.

import { Layer, pixels, round } from "./tiles.js";

const REST_MS = 24;      // without a change, after which the exact pixels are fetched
const COARSE = 1600;     // longest side of the picture that is shown meanwhile
const TILE = 440;        // most pixels along a side of a tile

export class Stage {
  constructor(stage, canvas, acts) {
    Object.assign(this, { stage, canvas, acts, picture: null, look: {}, zoom: 1, x: 0, y: 0, split: .5 });
    this.context = canvas.getContext("2d", { alpha: false });
    const changed = problem => { if (problem) acts.problem(problem); this.redraw(); };
    this.layers = { bicubic: new Layer("bicubic", changed), ginr: new Layer("ginr", changed) };
    new ResizeObserver(() => this.resize()).observe(stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  get density() { return window.devicePixelRatio; }

  async show(picture) {
    this.picture = picture;
    this.coarse = null;
    Object.values(this.layers).forEach(layer => layer.clear());
    if (!picture) return this.redraw();
    this.fit();
    const scale = Math.min(1, COARSE / Math.max(picture.width, picture.height));
    const [width, height] = [round(picture.width * scale), round(picture.height * scale)];
    const values = { kind: "bicubic", id: picture.id, scale, box: `0,0,${width},${height}` };
    try {
      const coarse = await pixels(values, width, height);
      if (this.picture === picture) this.coarse = coarse;
    } catch (problem) {
      this.acts.problem(problem);
    }
    this.redraw();
  }

  // How the picture is encoded: the sliders' values.
  encodeAs(look) {
    this.look = look;
    this.layers.ginr.clear();
    this.moved();
  }

  resize() {
    const fitted = this.picture && this.zoom === this.fitting();
    this.canvas.width = Math.round(this.stage.clientWidth * this.density);
    this.canvas.height = Math.round(this.stage.clientHeight * this.density);
    Object.values(this.layers).forEach(layer => layer.clear());
    if (fitted) this.fit(); else this.moved();
  }

  fitting() {
    return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
  }

  fit() {
    [this.x, this.y] = [this.picture.width / 2, this.picture.height / 2];
    this.zoom = this.fitting();
    this.moved();
  }

  // Zoom so that the place at (x, y), in pixels of the screen, stays; the middle without them.
  zoomBy(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const least = Math.min(1, this.fitting() / 2);
    const zoom = Math.min(this.acts.mostZoom(), Math.max(least, this.zoom * factor));
    const [dx, dy] = [x - this.canvas.width / 2, y - this.canvas.height / 2];
    this.x += dx / this.zoom - dx / zoom;
    this.y += dy / this.zoom - dy / zoom;
    this.zoom = zoom;
    this.moved();
  }

  moveBy(dx, dy) {
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.moved();
  }

  moved() {
    if (!this.picture) return this.redraw();
    this.x = Math.min(this.picture.width, Math.max(0, this.x));
    this.y = Math.min(this.picture.height, Math.max(0, this.y));
    this.started = performance.now();
    this.canvas.dataset.state = "coarse";
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.fetch(), REST_MS);
    this.acts.moved();
    this.redraw();
  }

  left() { return this.x * this.zoom - this.canvas.width / 2; }
  top() { return this.y * this.zoom - this.canvas.height / 2; }

  // The corner of the screen in whole pixels of a level, so that pixel falls on pixel.
  corner({ width, height }) {
    return [Math.round(this.x * width / this.picture.width - this.canvas.width / 2),
      Math.round(this.y * height / this.picture.height - this.canvas.height / 2)];
  }

  // The boxes that the two layers have to fill, in pixels of the whole at this zoom.
  boxes() {
    const whole = { width: round(this.picture.width * this.zoom), height: round(this.picture.height * this.zoom) };
    const [left, top] = this.corner(whole), { width, height } = this.canvas;
    const cut = Math.round(this.split * width);
    const isCoarse = this.zoom <= 1 || !this.picture.isEncoded;
    return {
      corner: [left, top],
      bicubic: [left, top, left + (isCoarse ? width : cut), top + height],
      ginr: [left + (this.zoom <= 1 ? width : cut), top, left + width, top + height],
    };
  }

  // Fetch what the screen lacks.
  fetch() {
    if (!this.picture) return;
    const boxes = this.boxes(), { width, height } = this.canvas;
    const side = length => Math.max(1, Math.ceil(length / Math.ceil(length / TILE)));
    const grid = { left: boxes.corner[0], top: boxes.corner[1], width: side(width), height: side(height) };
    for (const [kind, layer] of Object.entries(this.layers))
      layer.need(this.picture, kind === "ginr" ? this.look : {}, this.zoom, boxes[kind], grid);
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  draw() {
    const { context, canvas, picture } = this;
    context.fillStyle = getComputedStyle(this.stage.parentElement.parentElement).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    const { bicubic, ginr } = this.layers, cut = Math.round(this.split * canvas.width), boxes = this.boxes();
    const left = [boxes.bicubic[0], boxes.bicubic[1], Math.min(boxes.bicubic[2], boxes.ginr[0]), boxes.bicubic[3]];
    const isSharp = bicubic.has(this.zoom, left) && ginr.has(this.zoom, boxes.ginr);
    if (!isSharp && this.coarse) context.drawImage(this.coarse, -this.left(), -this.top(),
      picture.width * this.zoom, picture.height * this.zoom);
    bicubic.draw(context, this, picture, left);
    context.save();
    context.beginPath();
    context.rect(cut, 0, canvas.width - cut, canvas.height);
    context.clip();
    if (this.zoom > 1) ginr.draw(context, this, picture, boxes.ginr);
    context.restore();
    if (isSharp && canvas.dataset.state !== "sharp") {
      canvas.dataset.state = "sharp";
      canvas.dataset.ms = Math.round(performance.now() - this.started);
    }
    this.acts.drawn(isSharp);
  }

  // The place in the picture under a place on the page.
  placeAt(clientX, clientY) {
    const frame = this.stage.getBoundingClientRect();
    return [((clientX - frame.left) * this.density + this.left()) / this.zoom,
      ((clientY - frame.top) * this.density + this.top()) / this.zoom];
  }

  // x, y, width, height of what is visible, in whole pixels of the picture.
  visible() {
    const { width, height } = this.picture;
    const within = (value, most) => Math.min(most, Math.max(0, value));
    const left = Math.floor(within(this.left() / this.zoom, width - 1));
    const top = Math.floor(within(this.top() / this.zoom, height - 1));
    return [left, top,
      Math.max(1, Math.ceil(within((this.left() + this.canvas.width) / this.zoom, width)) - left),
      Math.max(1, Math.ceil(within((this.top() + this.canvas.height) / this.zoom, height)) - top)];
  }
}
