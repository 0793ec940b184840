// Mouse, touch and keys on the stage.

const STEP = 1.25;       // of a key or a button
const WHEEL = 0.0015;    // per pixel of a wheel

export function gestures(stage, view, handle, setSplit) {
  const fingers = new Map();
  const at = event => {
    const frame = stage.getBoundingClientRect();
    return [(event.clientX - frame.left) * view.density, (event.clientY - frame.top) * view.density];
  };
  const middle = () => {
    const places = [...fingers.values()];
    return [0, 1].map(k => places.reduce((sum, place) => sum + place[k], 0) / places.length);
  };
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return other ? Math.hypot(one[0] - other[0], one[1] - other[1]) : 0;
  };

  stage.addEventListener("pointerdown", event => {
    if (!view.picture || event.button > 0 || handle.contains(event.target)) return;
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("moving");
    fingers.set(event.pointerId, at(event));
  });
  stage.addEventListener("pointermove", event => {
    if (!fingers.has(event.pointerId)) return;
    const [x, y] = middle(), distance = spread();
    fingers.set(event.pointerId, at(event));
    const [newX, newY] = middle();
    view.moveBy(newX - x, newY - y);
    if (distance) view.zoomBy(spread() / distance, newX, newY);
  });
  for (const end of ["pointerup", "pointercancel"])
    stage.addEventListener(end, event => {
      fingers.delete(event.pointerId);
      if (!fingers.size) stage.classList.remove("moving");
    });
  stage.addEventListener("wheel", event => {
    event.preventDefault();
    if (!view.picture) return;
    const lines = event.deltaMode ? 33 : 1, pinch = event.ctrlKey ? 6 : 1;
    view.zoomBy(Math.exp(-event.deltaY * lines * pinch * WHEEL), ...at(event));
  }, { passive: false });
  stage.addEventListener("dblclick", event => { if (view.picture) view.zoomBy(2, ...at(event)); });

  const drag = event => {
    const frame = stage.getBoundingClientRect();
    setSplit((event.clientX - frame.left) / frame.width);
  };
  handle.addEventListener("pointerdown", event => {
    handle.setPointerCapture(event.pointerId);
    event.stopPropagation();
  });
  handle.addEventListener("pointermove", event => { if (handle.hasPointerCapture(event.pointerId)) drag(event); });
}

// What keys do while no control has the focus.
export function keys(view, acts) {
  const step = share => share * Math.min(view.canvas.width, view.canvas.height);
  const on = {
    ArrowLeft: () => view.moveBy(step(.1), 0), ArrowRight: () => view.moveBy(-step(.1), 0),
    ArrowUp: () => view.moveBy(0, step(.1)), ArrowDown: () => view.moveBy(0, -step(.1)),
    "+": () => view.zoomBy(STEP), "=": () => view.zoomBy(STEP), "-": () => view.zoomBy(1 / STEP),
    PageUp: () => view.zoomBy(2), PageDown: () => view.zoomBy(.5),
    0: () => view.fit(), 1: () => view.zoomBy(1 / view.zoom),
    "[": () => acts.setSplit(view.split - .05), "]": () => acts.setSplit(view.split + .05),
  };
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, button, summary, a")) return;
    if (event.key in acts.always) acts.always[event.key]();
    else if (view.picture && event.key in on) on[event.key]();
    else return;
    event.preventDefault();
  });
}
