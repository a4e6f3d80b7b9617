// Mouse, fingers and keys on a canvas -> actions. Places are in CSS pixels from the corner of the canvas.
// actions: turn(dx, dy), pan(dx, dy), zoom(factor, x, y), hover(x, y), leave(), pick(x, y, radius, tells),
// centre(x, y), reset(), full(), drop(), takesWheel().

const STILL = 5; // a press that moves less is a click
const isFinger = (event) => event.pointerType === "touch";

function listen(canvas, actions) {
  const fingers = new Map();
  let travelled = 0, most = 0;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top, pans: event.shiftKey || event.buttons > 1 };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!fingers.size) [travelled, most] = [0, 0];
    fingers.set(event.pointerId, at(event));
    most = Math.max(most, fingers.size);
    if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId), now = at(event);
    if (!before) return isFinger(event) ? undefined : actions.hover(now.x, now.y);
    travelled += Math.hypot(now.x - before.x, now.y - before.y);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, now);
    if (travelled < STILL) return;
    if (other) return pinch(before, now, other);
    (now.pans ? actions.pan : actions.turn)(now.x - before.x, now.y - before.y);
  });

  // Two fingers: their middle moves the cloud, their gap zooms about it.
  function pinch(before, now, other) {
    const gap = (finger) => Math.max(1, Math.hypot(finger.x - other.x, finger.y - other.y));
    actions.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    actions.zoom(gap(now) / gap(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  }

  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    const { x, y } = at(event);
    if (travelled >= STILL || most > 1 || event.button !== 0) return;
    isFinger(event) ? actions.pick(x, y, 16, true) : actions.pick(x, y, 6, false);
  });
  for (const end of ["pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  // A finger that was lifted leaves the box that its tap opened.
  canvas.addEventListener("pointerleave", (event) => { if (!isFinger(event)) actions.leave(); });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button moves the cloud
  canvas.addEventListener("dblclick", (event) => actions.centre(at(event).x, at(event).y));

  // The wheel zooms a canvas that was clicked; over any other it scrolls the page, as a reader expects.
  // A browser tells a pinch on a touch pad as a wheel with Ctrl.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !actions.takesWheel()) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
    actions.zoom(Math.exp(-(event.ctrlKey ? 0.01 : 0.0015) * pixels), at(event).x, at(event).y);
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [x, y] = [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const move = event.shiftKey ? actions.turn : actions.pan;
    const keys = {
      ArrowLeft: () => move(event.shiftKey ? -15 : 40, 0), ArrowRight: () => move(event.shiftKey ? 15 : -40, 0),
      ArrowUp: () => move(0, event.shiftKey ? 13 : 40), ArrowDown: () => move(0, event.shiftKey ? -13 : -40),
      "+": () => actions.zoom(1.2, x, y), "=": () => actions.zoom(1.2, x, y), "-": () => actions.zoom(1 / 1.2, x, y),
      Enter: () => actions.pick(x, y, 60, false), " ": () => actions.pick(x, y, 60, false), Escape: actions.drop,
      r: actions.reset, f: actions.full,
    };
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
