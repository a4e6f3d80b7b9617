// The view: a pinhole camera that looks at `target` from `away` metres. Screens are in canvas pixels.

function startView(cloud) {
  return { yaw: -2.5, pitch: 0.62, target: [...cloud.home], away: 2.3 * cloud.reach };
}

// Unit vectors to the right and up of the picture, and from the target back to the eye.
function axesOf({ yaw, pitch }) {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return { right: [-sy, cy, 0], up: [-sp * cy, -sp * sy, cp], back: [cp * cy, cp * sy, sp] };
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const plus = (a, b, times) => a.map((value, k) => value + times * b[k]);
const focalOf = ({ width, height }) => 1.25 * Math.min(width, 1.6 * height);
const nearest = (view) => 0.02 * view.away; // what is nearer to the eye is not drawn

// x, y in the picture, and how far before the eye.
function onScreen(view, screen, point) {
  const { right, up, back } = axesOf(view), focal = focalOf(screen), from = plus(point, view.target, -1);
  const far = view.away - dot(from, back);
  return [screen.width / 2 + (focal * dot(from, right)) / far, screen.height / 2 - (focal * dot(from, up)) / far, far];
}

// The inverse: the place at x, y of the picture, `far` metres before the eye.
function inSpace(view, screen, x, y, far) {
  const { right, up, back } = axesOf(view), scale = far / focalOf(screen);
  const ahead = plus(view.target, back, view.away - far);
  return plus(plus(ahead, right, (x - screen.width / 2) * scale), up, (screen.height / 2 - y) * scale);
}

function turned(view, right, up) {
  return { ...view, yaw: view.yaw - right, pitch: Math.min(1.57, Math.max(-1.2, view.pitch + up)) };
}

// What lies at the distance of the target follows the cursor.
function panned(view, screen, dx, dy) {
  const { right, up } = axesOf(view), scale = view.away / focalOf(screen);
  return { ...view, target: plus(plus(view.target, right, -dx * scale), up, dy * scale) };
}

// Everything shrinks towards one place, which therefore stays where it is in the picture.
function zoomed(view, factor, place, reach) {
  const away = Math.min(20 * reach, Math.max(0.02 * reach, view.away / factor));
  return { ...view, away, target: plus(place, plus(view.target, place, -1), away / view.away) };
}
