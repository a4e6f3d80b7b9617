// A viewer: its clouds, what is seen of them, and which point is meant.

const PIXELS = 2.4e6; // of all canvases of a frame; more take longer than a hand waits
const SLOW_MS = 45; // a frame that takes longer is drawn coarsely while the cloud moves

function start(viewer) {
  const all = (selector) => [...viewer.querySelectorAll(selector)], one = (selector) => viewer.querySelector(selector);
  const read = (kind) => all(`script.${kind}`).map((script) => JSON.parse(script.textContent));
  const [classes] = read("palette"), packed = read("cloud"), unpacked = [];
  const figures = all(".panels figure"), canvases = figures.map((figure) => figure.querySelector("canvas"));
  const [tip, picked, spoken] = [one(".tip"), one(".picked dl"), one(".spoken")];
  const entries = all(".classes button[data-class]"), hidden = new Set();
  let cloud = null, view = null, buffers = buffersOf(0, 0), ratio = 1;
  let hovered = -1, pinned = -1, isShown = () => true;
  let waiting = false, moving = 0, cost = 0;

  const photo = photoPane(viewer, {
    shown: (i) => isShown(i),
    found: (i, event) => hover(i, event && [event.clientX, event.clientY]),
    taken: (i) => { pin(i, false); bringIntoView(i); },
  });

  // Which point is meant.

  function hover(i, cursor) {
    hovered = i;
    tip.hidden = i < 0;
    photo.mark(i >= 0 ? i : pinned, false);
    placeRings();
    if (i < 0) return;
    tip.replaceChildren(list(i));
    const size = [tip.offsetWidth, tip.offsetHeight];
    const room = [document.documentElement.clientWidth, window.innerHeight];
    const [left, top] = boxCorner(cursor, size, room);
    Object.assign(tip.style, { left: `${left}px`, top: `${top}px` });
  }

  function pin(i, follow = true) {
    pinned = i;
    picked.replaceChildren(...(i < 0 ? [] : list(i).children));
    one(".picked .none").hidden = i >= 0;
    spoken.textContent = i < 0 ? "No point is picked." : `Picked: ${sentenceOf(rowsOf(cloud, classes, i))}`;
    photo.mark(i, follow);
    placeRings();
  }

  function list(i) {
    const said = document.createElement("dl");
    for (const [what, words] of rowsOf(cloud, classes, i)) {
      const row = document.createElement("div"), [term, text] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, text.textContent] = [what, words];
      if (what === "prediction") text.prepend(swatch(cloud.prediction[i]));
      row.append(term, text);
      said.append(row);
    }
    return said;
  }

  function swatch(label) {
    const square = document.createElement("span");
    square.className = "swatch";
    square.style.background = `rgb(${palette().classes[label]})`;
    return square;
  }

  // A ring around the point that is meant, on every canvas, also where others hide it.
  function placeRings() {
    const i = hovered >= 0 ? hovered : pinned;
    if (!view) return;
    for (const ring of all(".panels .ring")) {
      const [x, y, far] = i < 0 ? [0, 0, -1] : onScreen(view, buffers, placeOf(i));
      ring.hidden = !isInside([x, y, far]);
      Object.assign(ring.style, { left: `${x / ratio}px`, top: `${y / ratio}px` });
    }
  }

  const isInside = ([x, y, far]) =>
    far > nearest(view) && x >= 0 && y >= 0 && x <= buffers.width && y <= buffers.height;

  function bringIntoView(i) {
    if (i < 0) return;
    if (!isInside(onScreen(view, buffers, placeOf(i)))) change({ ...view, target: placeOf(i) });
  }

  // The view.

  function change(next) {
    view = next;
    clearTimeout(moving);
    moving = setTimeout(() => { moving = 0; if (cost > SLOW_MS) redraw(); }, 160);
    redraw();
  }

  const pointAt = (x, y, radius) => pointNear(buffers, x * ratio, y * ratio, radius * ratio);
  function onPage(canvas, x, y) {
    const box = canvas.getBoundingClientRect();
    return [box.left + x, box.top + y];
  }

  const placeOf = (i) => [...cloud.xyz.subarray(3 * i, 3 * i + 3)];

  const actions = (canvas) => ({
    turn: (dx, dy) => { hover(-1); change(turned(view, dx * 0.008, dy * 0.006)); },
    pan: (dx, dy) => { hover(-1); change(panned(view, buffers, dx * ratio, dy * ratio)); },
    zoom(factor, x, y) {
      hover(-1);
      const i = pointAt(x, y, 20);
      const place = i >= 0 ? placeOf(i) : inSpace(view, buffers, x * ratio, y * ratio, view.away);
      change(zoomed(view, factor, place, cloud.reach));
    },
    hover: (x, y) => hover(pointAt(x, y, 6), onPage(canvas, x, y)),
    leave: () => hover(-1),
    pick(x, y, radius, tells) {
      const i = pointAt(x, y, radius);
      pin(i);
      if (tells) hover(i, onPage(canvas, x, y));
    },
    centre(x, y) {
      const i = pointAt(x, y, 20);
      if (i >= 0) change({ ...view, target: placeOf(i) });
    },
    reset: () => change(startView(cloud)),
    drop: () => { hover(-1); pin(-1); if (!document.fullscreenElement) full(false); },
    full: () => full(!viewer.classList.contains("full")),
    takesWheel: () => document.activeElement === canvas || viewer.classList.contains("full"),
  });

  function full(on) {
    viewer.classList.toggle("full", on);
    one("[data-do=full]").textContent = on ? "Leave full screen" : "Full screen";
    // A browser without it (on some phones) still gets the whole window, by the style alone.
    if (on) viewer.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
    redraw();
  }

  // The pictures.

  function palette() {
    const style = getComputedStyle(viewer);
    const css = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
    const ground = css("--ground");
    const named = ["quiet", "loud", "middle", "strong"].map((name) => [name, css(`--point-${name}`)]);
    return { ground, ...Object.fromEntries(named), classes: classes.colours.map((colour) => legible(colour, ground)) };
  }

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
    const colours = palette();
    for (const canvas of shown) paint(canvas, buffers, colouring(canvas.dataset.mode, cloud, classes, colours));
    if (!isCoarse) cost = performance.now() - began;
    placeRings();
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  // What else depends on the colours: the legend, and the points on the image.
  function recolour() {
    const colours = palette(), mode = viewer.dataset.mode === "all" ? canvases[0].dataset.mode : viewer.dataset.mode;
    for (const entry of entries) entry.firstElementChild.style.background = `rgb(${colours.classes[entry.dataset.class]})`;
    if (cloud) photo.paint(colouring(mode, cloud, classes, colours));
    redraw();
  }

  // The buttons.

  const press = (buttons, isPressed) =>
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(isPressed(button, k))));

  async function open(number) {
    press(all(".picker button"), (_, k) => k === number);
    unpacked[number] ??= unpack(packed[number]);
    const next = await unpacked[number];
    if (all(".picker button")[number].getAttribute("aria-pressed") !== "true") return; // another was chosen since
    [cloud, hovered, pinned] = [next, -1, -1];
    view = startView(cloud);
    isShown = showing(cloud, hidden);
    photo.open(cloud);
    hover(-1);
    pin(-1);
    recolour();
  }

  function choose(mode) {
    viewer.dataset.mode = mode;
    press(all(".modes button"), (button) => button.dataset.mode === mode);
    figures.forEach((figure, k) => { figure.hidden = mode !== "all" && canvases[k].dataset.mode !== mode; });
    recolour();
  }

  function toggle(labels, on) {
    for (const label of labels) on ? hidden.delete(label) : hidden.add(label);
    press(entries, (entry) => !hidden.has(Number(entry.dataset.class)));
    isShown = showing(cloud, hidden);
    recolour();
  }

  const labels = entries.map((entry) => Number(entry.dataset.class));
  const does = {
    reset: () => change(startView(cloud)), full: () => full(!viewer.classList.contains("full")),
    every: () => toggle(labels, true), none: () => toggle(labels, false),
  };
  all("[data-do]").forEach((button) => button.addEventListener("click", does[button.dataset.do]));
  all(".picker button").forEach((button, number) => button.addEventListener("click", () => open(number)));
  all(".modes button").forEach((button) => button.addEventListener("click", () => choose(button.dataset.mode)));
  entries.forEach((entry, k) => entry.addEventListener("click", () => toggle([labels[k]], hidden.has(labels[k]))));
  canvases.forEach((canvas) => listen(canvas, actions(canvas)));
  window.addEventListener("scroll", () => hover(-1), { passive: true });
  new ResizeObserver(redraw).observe(one(".panels"));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) full(false); });
  choose(viewer.dataset.mode);
  open(0);
}

for (const viewer of document.querySelectorAll(".viewer")) {
  const lacking = !viewer.querySelector("canvas").getContext("2d") ? "the 2D canvas"
    : typeof DecompressionStream === "undefined" ? "DecompressionStream, which browsers have since 2023" : "";
  if (!lacking) start(viewer);
  else Object.assign(viewer.querySelector(".sorry"), {
    hidden: false, textContent: `This browser cannot show the point clouds: it lacks ${lacking}.`,
  });
}
