// Eq. (2) in the page: where a point lies in a camera image. projection.py and distortion.py are the original.

// Where a point lies in the frame of the scan.
function absolute({ origin, xyz }, i) {
  return [origin[0] + xyz[3 * i], origin[1] + xyz[3 * i + 1], origin[2] + xyz[3 * i + 2]];
}

// u, v in pixels of the camera, and the depth. Which points the image shows, the page was told.
function pixelOf({ K, pose, lens }, [px, py, pz]) {
  const row = (k) => pose[4 * k] * px + pose[4 * k + 1] * py + pose[4 * k + 2] * pz + pose[4 * k + 3];
  const depth = row(2);
  const [x, y] = bent(row(0) / depth, row(1) / depth, lens);
  return [K[0] * x + K[1] * y + K[2], K[3] * y + K[4], depth];
}

// What the lens makes of x, y at depth 1.
function bent(x, y, lens) {
  if (!lens) return [x, y];
  const r = Math.hypot(x, y), r2 = r * r;
  if (lens.model === "fisheye") {
    const [k1, k2, k3, k4] = lens.k, angle = Math.atan(r), a2 = angle * angle;
    const scale = r > 1e-9 ? (angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))) / r : 1;
    return [x * scale, y * scale];
  }
  const [k1, k2, p1, p2, k3 = 0, k4 = 0, k5 = 0, k6 = 0] = lens.k;
  const scale = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)));
  return [
    x * scale + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
    y * scale + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
  ];
}
