// Which point is meant: the nearest in the picture, and of several the nearest to the eye.

// seen: the point at each pixel, -1 for none; depth: its distance. Gives -1 if none lies within `radius` pixels.
function pointNear({ seen, depth, width, height }, x, y, radius) {
  const [column, row] = [Math.floor(x), Math.floor(y)], whole = Math.ceil(radius);
  let best = -1, least = radius * radius, near = Infinity;
  for (let v = Math.max(0, row - whole); v <= Math.min(height - 1, row + whole); v++) {
    for (let u = Math.max(0, column - whole); u <= Math.min(width - 1, column + whole); u++) {
      const at = v * width + u, gap = (u - column) ** 2 + (v - row) ** 2;
      if (seen[at] < 0 || gap > least || (gap === least && depth[at] >= near)) continue;
      [best, least, near] = [seen[at], gap, depth[at]];
    }
  }
  return best;
}

// The point that image `place` shows nearest to its pixel u, v.
function pointInPhoto(cloud, place, u, v, radius, isShown) {
  const photo = cloud.photos[place];
  let best = -1, least = radius * radius, near = Infinity;
  for (let i = 0; i < cloud.count; i++) {
    if (!(cloud.seen[i] & (1 << place)) || !isShown(i)) continue;
    const [pu, pv, far] = pixelOf(photo, absolute(cloud, i));
    const gap = (pu - u) ** 2 + (pv - v) ** 2;
    if (!(gap < least || (gap === least && far < near))) continue;
    [best, least, near] = [i, gap, far];
  }
  return best;
}
