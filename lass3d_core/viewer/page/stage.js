// The canvases of a viewer: one view of one cloud, coloured in several ways. Places are in CSS pixels of a canvas.

const PIXELS = 2.4e6; // of all canvases of a frame; more take longer than a hand waits
const SLOW_MS = 45; // a frame that takes longer is drawn coarsely while the cloud moves

function stageOf(viewer, classes) {
  const figures = [...viewer.querySelectorAll(".panels figure")];
  const canvases = figures.map((figure) => figure.querySelector("canvas"));
  let cloud = null, view = null, isShown = () => true;
  let buffers = buffersOf(0, 0), ratio = 1; // ratio: canvas pixels per CSS pixel
  let waiting = false, moving = 0, cost = 0, ringed = -1;

  function draw() {
    waiting = false;
    const shown = canvases.filter((_, k) => !figures[k].hidden), { clientWidth: w, clientHeight: h } = shown[0];
    if (!cloud || !w || !h) return;
    const began = performance.now(), fine = Math.min(2, Math.sqrt(PIXELS / (w * h * shown.length)));
    const isCoarse = moving && cost > SLOW_MS;
    ratio = Math.max(0.5, isCoarse ? fine / 2 : fine);
    const [width, height] = [Math.round(w * ratio), Math.round(h * ratio)];
    if (width !== buffers.width || height !== buffers.height) buffers = buffersOf(width, height);
    project(buffers, cloud, view, ratio, isShown);
    shadeDepthJumps(buffers, ratio);
    const palette = paletteOf(viewer, classes);
    for (const canvas of shown) paint(canvas, buffers, colouring(canvas.dataset.mode, cloud, classes, palette));
    if (!isCoarse) cost = performance.now() - began;
    ring(ringed);
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  function look(next) {
    view = next;
    clearTimeout(moving);
    moving = setTimeout(() => { moving = 0; if (cost > SLOW_MS) redraw(); }, 160);
    redraw();
  }

  // Only the panel of this mode, or all.
  function only(mode) {
    figures.forEach((figure, k) => { figure.hidden = mode !== "all" && canvases[k].dataset.mode !== mode; });
    redraw();
  }

  const placeOf = (i) => [...cloud.xyz.subarray(3 * i, 3 * i + 3)];
  const pointAt = (x, y, radius) => pointNear(buffers, x * ratio, y * ratio, radius * ratio);

  // Towards the point under the cursor; where there is none, towards the cursor at the distance of the target.
  function zoom(factor, x, y) {
    const i = pointAt(x, y, 20);
    const place = i >= 0 ? placeOf(i) : inSpace(view, buffers, x * ratio, y * ratio, view.away);
    look(zoomed(view, factor, place, cloud.reach));
  }

  const centre = (i) => { if (i >= 0) look({ ...view, target: placeOf(i) }); };

  function isInside([x, y, far]) {
    return far > nearest(view) && x >= 0 && y >= 0 && x <= buffers.width && y <= buffers.height;
  }

  const has = (i) => isInside(onScreen(view, buffers, placeOf(i)));

  // A ring around a point on every canvas, also where others hide it; none for -1.
  function ring(i) {
    ringed = i;
    for (const mark of viewer.querySelectorAll(".panels .ring")) {
      mark.hidden = i < 0 || !view || !has(i);
      if (mark.hidden) continue;
      const [x, y] = onScreen(view, buffers, placeOf(i));
      Object.assign(mark.style, { left: `${x / ratio}px`, top: `${y / ratio}px` });
    }
  }

  return {
    canvases, only, redraw, pointAt, zoom, centre, has, ring,
    open(other) { cloud = other; ringed = -1; look(startView(cloud)); },
    show(shown) { isShown = shown; redraw(); },
    turn: (dx, dy) => look(turned(view, dx * 0.008, dy * 0.006)),
    pan: (dx, dy) => look(panned(view, buffers, dx * ratio, dy * ratio)),
    reset: () => look(startView(cloud)),
  };
}
