// The camera images beside the cloud: the point that is meant is marked in them, and a place in one finds a point.

// found(i, event): the point under the cursor, -1 for none; taken(i): a click chose it. shown(i): its class is shown.
function photoPane(viewer, { found, taken, shown }) {
  const pane = viewer.querySelector(".photo");
  if (!pane) return { open() {}, mark() {}, paint() {} };
  const [img, canvas, ring] = ["img", "canvas", ".ring"].map((part) => pane.querySelector(part));
  const [frame, cameras, dots, none] = [".frame", ".cameras", ".dots", ".none"].map((part) => pane.querySelector(part));
  let cloud = null, place = 0, marked = -1, colour = null;
  const sees = (i, at) => i >= 0 && Boolean(cloud.seen?.[i] & (1 << at));

  function open(other) {
    [cloud, marked] = [other, -1];
    const photos = cloud.photos;
    [frame.hidden, none.hidden] = [!photos.length, photos.length > 0];
    dots.parentElement.hidden = !photos.length;
    cameras.hidden = photos.length < 2;
    cameras.replaceChildren(...photos.map((photo, at) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: photo.name });
      button.addEventListener("click", () => turnTo(at));
      return button;
    }));
    if (photos.length) turnTo(0);
  }

  function turnTo(at) {
    place = at;
    const photo = cloud.photos[place];
    Object.assign(img, { src: photo.src, alt: `Camera image ${photo.name} of ${cloud.name}` });
    img.classList.toggle("pixels", photo.small);
    frame.style.aspectRatio = `${photo.width} / ${photo.height}`;
    [...cameras.children].forEach((button, k) => button.setAttribute("aria-pressed", String(k === place)));
    mark(marked, false);
    drawDots();
  }

  // follow: turn to an image that shows the point, if this one does not.
  function mark(i, follow) {
    marked = i;
    if (!cloud?.photos.length) return;
    const other = cloud.photos.findIndex((_, at) => sees(i, at));
    if (follow && !sees(i, place) && other >= 0) return turnTo(other);
    ring.hidden = !sees(i, place);
    if (ring.hidden) return;
    const photo = cloud.photos[place], [u, v] = pixelOf(photo, absolute(cloud, i));
    Object.assign(ring.style, { left: `${(100 * u) / photo.width}%`, top: `${(100 * v) / photo.height}%` });
  }

  function paint(colouringOfMode) {
    colour = colouringOfMode;
    drawDots();
  }

  // The points on the image, in the colours of the cloud.
  function drawDots() {
    canvas.hidden = !dots.checked;
    if (canvas.hidden || !colour || !cloud.photos.length) return;
    const photo = cloud.photos[place], scale = 1000 / photo.width, context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [1000, Math.round(photo.height * scale)];
    context.globalAlpha = 0.75; // the image stays to be seen
    const size = Math.min(5, Math.max(2, 250 / Math.sqrt(cloud.seen.filter((bits) => bits & (1 << place)).length)));
    for (let i = 0; i < cloud.count; i++) {
      const rgb = sees(i, place) && shown(i) ? colour(i) : null;
      if (!rgb) continue;
      const [u, v] = pixelOf(photo, absolute(cloud, i));
      context.fillStyle = `rgb(${rgb})`;
      context.fillRect(u * scale - size / 2, v * scale - size / 2, size, size);
    }
  }

  function under(event) {
    const box = frame.getBoundingClientRect(), photo = cloud.photos[place], scale = photo.width / box.width;
    const [u, v] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    return pointInPhoto(cloud, place, u, v, (isFinger(event) ? 20 : 12) * scale, shown);
  }

  dots.addEventListener("change", drawDots);
  frame.addEventListener("pointermove", (event) => { if (!isFinger(event)) found(under(event), event); });
  frame.addEventListener("pointerleave", () => found(-1, null));
  frame.addEventListener("click", (event) => taken(under(event), event));
  return { open, mark, paint };
}
