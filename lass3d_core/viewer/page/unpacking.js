// Text of the page -> numbers of points, as packing.py wrote them. S points; xyz are metres from `origin`.

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// All high bytes, then all low ones.
function wide(bytes) {
  const half = bytes.length / 2;
  return Uint16Array.from({ length: half }, (_, i) => (bytes[i] << 8) | bytes[half + i]);
}

// Differences along each axis (3 S) -> coordinates (3 S), those of a point side by side.
function positions(differences, step) {
  const count = differences.length / 3, xyz = new Float32Array(3 * count);
  for (let axis = 0; axis < 3; axis++) {
    for (let i = 0, level = 0; i < count; i++) {
      const folded = differences[axis * count + i];
      level = (level + ((folded >>> 1) ^ -(folded & 1))) & 0xffff;
      xyz[3 * i + axis] = step * level;
    }
  }
  return xyz;
}

function quantile(values, share) {
  return Float32Array.from(values).sort()[Math.floor(share * (values.length - 1))];
}

async function unpack(packed) {
  const bytes = async (name) => (packed[name] === undefined ? null : inflated(packed[name]));
  const names = ["prediction", "truth", "confidence", "views", "share", "likeness", "seen"];
  const columns = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await bytes(name)])));
  const text = await bytes("text");
  const xyz = positions(wide(await bytes("xyz")), packed.step);
  const cloud = { ...packed, ...columns, xyz, text: text && wide(text) };
  return { ...cloud, ...surroundings(cloud) };
}

// home: what the view turns about at first, the sensor at the height of the ground; the middle if the cloud
// does not surround a sensor. reach: how far nine of ten points lie from it.
function surroundings({ xyz, count, origin, sensor }) {
  const axis = (k) => Float32Array.from({ length: count }, (_, i) => xyz[3 * i + k]);
  const [x, y, z] = [axis(0), axis(1), axis(2)];
  const within = (values, place) => place >= quantile(values, 0) && place <= quantile(values, 1);
  const surrounds = sensor && within(x, -origin[0]) && within(y, -origin[1]);
  const ground = quantile(z, 0.3);
  const home = surrounds ? [-origin[0], -origin[1], ground] : [quantile(x, 0.5), quantile(y, 0.5), ground];
  const flat = x.map((value, i) => Math.hypot(value - home[0], y[i] - home[1]));
  return { home, reach: Math.max(1e-3, quantile(flat, 0.9)) };
}
