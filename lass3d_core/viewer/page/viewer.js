// A viewer: which cloud is open, which classes are shown, and which point is meant.

function start(viewer) {
  const all = (selector) => [...viewer.querySelectorAll(selector)], one = (selector) => viewer.querySelector(selector);
  const read = (kind) => all(`script.${kind}`).map((script) => JSON.parse(script.textContent));
  const [classes] = read("palette"), packed = read("cloud"), unpacked = [];
  const entries = all(".classes button[data-class]"), labels = entries.map((entry) => Number(entry.dataset.class));
  const hidden = new Set(), stage = stageOf(viewer, classes);
  let cloud = null, pinned = -1, isShown = () => true;

  const photo = photoPane(viewer, {
    shown: (i) => isShown(i),
    found: (i, event) => hover(i, event && [event.clientX, event.clientY]),
    taken(i) {
      pin(i, false);
      if (i >= 0 && !stage.has(i)) stage.centre(i);
    },
  });

  // The point under the cursor, -1 for none; cursor: where its box stands.
  function hover(i, cursor) {
    const tip = one(".tip"), meant = i >= 0 ? i : pinned;
    tip.hidden = i < 0;
    photo.mark(meant, false);
    stage.ring(meant);
    if (i < 0) return;
    tip.replaceChildren(listOf(i));
    const room = [document.documentElement.clientWidth, window.innerHeight];
    const [left, top] = boxCorner(cursor, [tip.offsetWidth, tip.offsetHeight], room);
    Object.assign(tip.style, { left: `${left}px`, top: `${top}px` });
  }

  // The point that is kept, -1 for none. follow: turn to an image that shows it.
  function pin(i, follow = true) {
    pinned = i;
    one(".picked dl").replaceChildren(...(i < 0 ? [] : listOf(i).children));
    one(".picked .none").hidden = i >= 0;
    one(".spoken").textContent = i < 0 ? "No point is picked." : `Picked: ${sentenceOf(rowsOf(cloud, classes, i))}`;
    photo.mark(i, follow);
    stage.ring(i);
  }

  function listOf(i) {
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = `rgb(${paletteOf(viewer, classes).classes[cloud.prediction[i]]})`;
    return descriptionList(rowsOf(cloud, classes, i), swatch);
  }

  function actionsOn(canvas) {
    const point = (x, y, radius) => stage.pointAt(x, y, radius);
    const onPage = (x, y) => {
      const box = canvas.getBoundingClientRect();
      return [box.left + x, box.top + y];
    };
    const moving = (move) => (...where) => { hover(-1); move(...where); };
    return {
      turn: moving(stage.turn), pan: moving(stage.pan), zoom: moving(stage.zoom), reset: stage.reset,
      hover: (x, y) => hover(point(x, y, 6), onPage(x, y)),
      leave: () => hover(-1),
      pick(x, y, radius, tells) {
        const i = point(x, y, radius);
        pin(i);
        if (tells) hover(i, onPage(x, y));
      },
      centre: (x, y) => stage.centre(point(x, y, 20)),
      drop() {
        hover(-1);
        pin(-1);
        if (!document.fullscreenElement) full(false);
      },
      full: () => full(!viewer.classList.contains("full")),
      takesWheel: () => document.activeElement === canvas || viewer.classList.contains("full"),
    };
  }

  function full(on) {
    viewer.classList.toggle("full", on);
    one("[data-do=full]").textContent = on ? "Leave full screen" : "Full screen";
    // A browser without it (on some phones) still gives the whole window, by the style alone.
    if (on) viewer.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
    stage.redraw();
  }

  const press = (buttons, isPressed) =>
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", String(isPressed(button, k))));

  async function open(number) {
    const buttons = all(".picker button");
    press(buttons, (_, k) => k === number);
    unpacked[number] ??= unpack(packed[number]);
    const next = await unpacked[number];
    if (buttons[number].getAttribute("aria-pressed") !== "true") return; // another was chosen since
    cloud = next;
    photo.open(cloud);
    stage.open(cloud);
    hover(-1);
    pin(-1);
    show();
  }

  function choose(mode) {
    viewer.dataset.mode = mode;
    press(all(".modes button"), (button) => button.dataset.mode === mode);
    stage.only(mode);
    recolour();
  }

  function toggle(some, on) {
    for (const label of some) on ? hidden.delete(label) : hidden.add(label);
    press(entries, (_, k) => !hidden.has(labels[k]));
    show();
  }

  function show() {
    if (!cloud) return;
    isShown = showing(cloud, hidden);
    stage.show(isShown);
    recolour();
  }

  // The legend, and the points on the image; with all modes side by side, in the first.
  function recolour() {
    const palette = paletteOf(viewer, classes), { mode } = viewer.dataset;
    entries.forEach((entry, k) => { entry.firstElementChild.style.background = `rgb(${palette.classes[labels[k]]})`; });
    const first = mode === "all" ? stage.canvases[0].dataset.mode : mode;
    if (cloud) photo.paint(colouring(first, cloud, classes, palette));
    stage.redraw();
  }

  const does = {
    reset: stage.reset, full: () => full(!viewer.classList.contains("full")),
    every: () => toggle(labels, true), none: () => toggle(labels, false),
  };
  all("[data-do]").forEach((button) => button.addEventListener("click", does[button.dataset.do]));
  all(".picker button").forEach((button, number) => button.addEventListener("click", () => open(number)));
  all(".modes button").forEach((button) => button.addEventListener("click", () => choose(button.dataset.mode)));
  entries.forEach((entry, k) => entry.addEventListener("click", () => toggle([labels[k]], hidden.has(labels[k]))));
  stage.canvases.forEach((canvas) => listen(canvas, actionsOn(canvas)));
  new ResizeObserver(stage.redraw).observe(one(".panels"));
  window.addEventListener("scroll", () => hover(-1), { passive: true });
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
