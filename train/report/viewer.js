// Point clouds on plain 2D canvases. All panels of a viewer share one camera: turning one turns them all.
// Every frame projects the points once into a buffer "which point is seen at this pixel" with a depth test;
// each panel then only colours that buffer its own way.
"use strict";
for (const viewer of document.querySelectorAll(".clouds")) {
  const read = (kind) => [...viewer.querySelectorAll(`script.${kind}`)].map((script) => JSON.parse(script.textContent));
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
  const classes = read("classes")[0];
  const clouds = read("cloud").map(unpack);
  const ratio = 2; // canvas pixels per CSS pixel: smooth on every screen
  const canvases = [...viewer.querySelectorAll("canvas")];
  const entries = [...viewer.querySelectorAll(".classes-legend button")];
  const reading = viewer.querySelector(".reading");
  const start = { yaw: -2.5, pitch: 0.62, zoom: 1 };
  const camera = { ...start };
  let cloud = clouds[0];
  let alone = null; // the class that is shown by itself
  let seen = new Int32Array(0), depth = new Float32Array(0), shade = new Uint8Array(0);
  let width = 0, height = 0, waiting = false;

  function unpack(packed) {
    const levels = new Uint16Array(bytes(packed.xyz));
    const count = levels.length / 3;
    const xyz = Float32Array.from(levels, (level, i) => packed.origin[i % 3] + packed.step * level);
    const flat = Array.from({ length: count }, (_, i) => Math.hypot(xyz[3 * i], xyz[3 * i + 1])).sort((a, b) => a - b);
    const heights = Array.from({ length: count }, (_, i) => xyz[3 * i + 2]).sort((a, b) => a - b);
    return {
      xyz, count,
      reach: Math.max(1e-3, flat[Math.floor(0.9 * (count - 1))]),
      ground: heights[Math.floor(0.3 * (count - 1))],
      prediction: new Uint8Array(bytes(packed.prediction)),
      truth: new Uint8Array(bytes(packed.truth)),
      text: new Uint16Array(bytes(packed.text)),
      phrases: packed.phrases,
      likeness: new Uint8Array(bytes(packed.likeness ?? "")), // of a query's page alone
    };
  }

  // Points -> `seen` (index of the point at each pixel, -1 none) and `shade` (dark where the depth jumps).
  function project() {
    const { xyz, count, reach, ground } = cloud;
    const [cy, sy, cp, sp] = [Math.cos(camera.yaw), Math.sin(camera.yaw), Math.cos(camera.pitch), Math.sin(camera.pitch)];
    const away = (2.3 * reach) / camera.zoom, focal = 1.25 * Math.min(width, 1.6 * height);
    const size = (0.1 * reach * focal) / count ** 0.35; // denser scans get smaller points
    seen.fill(-1);
    depth.fill(Infinity);
    for (let i = 0; i < count; i++) {
      if (alone !== null && cloud.prediction[i] !== alone && cloud.truth[i] !== alone) continue;
      const x = xyz[3 * i], y = xyz[3 * i + 1], z = xyz[3 * i + 2] - ground;
      const right = -sy * x + cy * y, back = cy * x + sy * y;
      const far = away - (cp * back + sp * z), up = cp * z - sp * back;
      if (far < 0.02 * reach) continue;
      const u = Math.round(width / 2 + (focal * right) / far), v = Math.round(height / 2 - (focal * up) / far);
      const radius = Math.min(4.5 * ratio, Math.max(0.55 * ratio, size / far));
      splat(i, u, v, radius, far);
    }
    shadeDepthJumps(reach);
  }

  function splat(i, u, v, radius, far) {
    const whole = Math.floor(radius), square = radius * radius + 0.5;
    for (let dv = -whole; dv <= whole; dv++) {
      const row = v + dv;
      if (row < 0 || row >= height) continue;
      for (let du = -whole; du <= whole; du++) {
        const column = u + du, at = row * width + column;
        if (column < 0 || column >= width || du * du + dv * dv > square || far >= depth[at]) continue;
        depth[at] = far;
        seen[at] = i;
      }
    }
  }

  // Eye-dome lighting: a pixel is darkened by how far its four neighbours lie in front of it.
  function shadeDepthJumps(reach) {
    const reachOut = Math.max(1, Math.round(ratio));
    for (let v = 0, at = 0; v < height; v++) {
      for (let u = 0; u < width; u++, at++) {
        if (seen[at] < 0) continue;
        const here = Math.log(depth[at]);
        let jump = 0;
        if (u >= reachOut) jump += Math.max(0, here - Math.log(depth[at - reachOut]));
        if (u + reachOut < width) jump += Math.max(0, here - Math.log(depth[at + reachOut]));
        if (v >= reachOut) jump += Math.max(0, here - Math.log(depth[at - reachOut * width]));
        if (v + reachOut < height) jump += Math.max(0, here - Math.log(depth[at + reachOut * width]));
        shade[at] = Math.round(255 * Math.max(0.45, Math.exp(-3 * jump)));
      }
    }
  }

  const css = (name) => getComputedStyle(viewer).getPropertyValue(name).trim().split(/\s+/).map(Number);
  const luminance = ([r, g, b]) => (0.2126 * r * r + 0.7152 * g * g + 0.0722 * b * b) / 65025;

  // A class colour, moved towards black or white until it stands off the ground of the canvas.
  function legible(colour, ground) {
    const towards = luminance(ground) > 0.4 ? 0 : 255;
    for (let mix = 0; ; mix += 0.05) {
      const moved = colour.map((channel) => channel + (towards - channel) * mix);
      const [dark, light] = [luminance(moved), luminance(ground)].sort((a, b) => a - b);
      if (mix > 0.6 || (light + 0.05) / (dark + 0.05) > 1.7) return moved;
    }
  }

  // Colour of every point in one panel, or null where the panel leaves the point out.
  function colouring(show, colours) {
    const { prediction, truth, text, likeness } = cloud;
    const [quiet, loud, middle, strong] = ["quiet", "loud", "middle", "accent"].map((name) => css(`--point-${name}`));
    switch (show) {
      case "prediction": return (i) => colours[prediction[i]];
      case "truth": return (i) => colours[truth[i]] ?? null;
      case "likeness": {
        const ramp = Array.from({ length: 256 }, (_, level) => quiet.map((low, k) => low + (loud[k] - low) * level / 255));
        return (i) => ramp[likeness[i]];
      }
      case "error": return (i) => (truth[i] === classes.ignore ? null : truth[i] === prediction[i] ? quiet : loud);
      default: return (i) => (text[i] >= 2 ? strong : text[i] === 1 ? middle : quiet);
    }
  }

  function draw() {
    waiting = false;
    measure();
    if (!width || !height) return;
    project();
    const colours = classes.colours.map((colour) => legible(colour, css("--ground")));
    for (const entry of entries) entry.firstElementChild.style.background = `rgb(${colours[entry.dataset.class]})`;
    for (const canvas of canvases) {
      const context = canvas.getContext("2d");
      const image = context.createImageData(width, height);
      const colour = colouring(canvas.dataset.show, colours);
      const pixels = new Uint32Array(image.data.buffer);
      for (let at = 0; at < pixels.length; at++) {
        if (seen[at] < 0) continue;
        const rgb = colour(seen[at]);
        if (!rgb) continue;
        const light = shade[at] / 255;
        pixels[at] = 0xff000000 | ((rgb[2] * light) << 16) | ((rgb[1] * light) << 8) | (rgb[0] * light);
      }
      context.putImageData(image, 0, 0);
    }
  }

  function measure() {
    const box = canvases[0].getBoundingClientRect();
    const [w, h] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (w === width && h === height) return;
    [width, height] = [w, h];
    for (const canvas of canvases) [canvas.width, canvas.height] = [w, h];
    [seen, depth, shade] = [new Int32Array(w * h), new Float32Array(w * h), new Uint8Array(w * h)];
  }

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  function turn(right, up) {
    camera.yaw -= right;
    camera.pitch = Math.min(1.57, Math.max(-0.3, camera.pitch + up));
    redraw();
  }

  function zoom(factor) {
    camera.zoom = Math.min(12, Math.max(0.4, camera.zoom * factor));
    redraw();
  }

  function tell(event) {
    const box = event.target.getBoundingClientRect();
    const u = Math.round((event.clientX - box.left) * ratio), v = Math.round((event.clientY - box.top) * ratio);
    const i = u >= 0 && v >= 0 && u < width && v < height ? seen[v * width + u] : -1;
    if (i < 0) return void (reading.textContent = "\u00a0");
    const truth = classes.names[cloud.truth[i]] ?? "not labelled";
    const text = cloud.text[i] >= 2 ? `“${cloud.phrases[cloud.text[i] - 2]}”` : cloud.text[i] ? "the image's caption" : "none";
    reading.textContent = `predicted ${classes.names[cloud.prediction[i]]} · is ${truth} · text: ${text}`;
  }

  const fingers = new Map();
  for (const canvas of canvases) {
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return tell(event);
      if (fingers.size === 2) {
        const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
        const gap = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
        zoom(gap(event) / Math.max(1, gap(before)));
      } else {
        turn((event.clientX - before.clientX) * 0.008, (event.clientY - before.clientY) * 0.006);
      }
      fingers.set(event.pointerId, event);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
    // The wheel zooms a canvas that was clicked; over any other it scrolls the page, as a reader expects.
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      zoom(Math.exp(-0.0015 * event.deltaY));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { Object.assign(camera, start); redraw(); });
    canvas.addEventListener("keydown", (event) => {
      const keys = {
        ArrowLeft: () => turn(-0.12, 0), ArrowRight: () => turn(0.12, 0), ArrowUp: () => turn(0, 0.08),
        ArrowDown: () => turn(0, -0.08), "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15),
      };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  const press = (buttons, pressed) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button === pressed)));
  const picks = [...viewer.querySelectorAll(".picker button")];
  picks.forEach((button, index) => button.addEventListener("click", () => {
    cloud = clouds[index];
    press(picks, button);
    redraw();
  }));
  entries.forEach((button) => button.addEventListener("click", () => {
    alone = alone === Number(button.dataset.class) ? null : Number(button.dataset.class);
    press(entries, alone === null ? null : button);
    redraw();
  }));
  new ResizeObserver(redraw).observe(canvases[0]);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  redraw();
}
