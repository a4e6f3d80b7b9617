// Points -> pictures on plain 2D canvases. A frame projects the points once, with a depth test, into the buffer
// `seen`: which point each pixel shows. Every canvas then only colours that buffer its own way.

function buffersOf(width, height) {
  const count = width * height;
  return { width, height, seen: new Int32Array(count), depth: new Float32Array(count), shade: new Uint8Array(count) };
}

// ratio: canvas pixels per CSS pixel.
function project(buffers, cloud, view, ratio, isShown) {
  const { width, height } = buffers, { xyz, count, reach } = cloud, { target, away } = view;
  const { right: R, up: U, back: B } = axesOf(view);
  const focal = focalOf(buffers), near = nearest(view);
  const size = (0.1 * reach * focal) / count ** 0.35; // denser clouds get smaller points
  buffers.seen.fill(-1);
  buffers.depth.fill(Infinity);
  for (let i = 0; i < count; i++) {
    if (!isShown(i)) continue;
    const x = xyz[3 * i] - target[0], y = xyz[3 * i + 1] - target[1], z = xyz[3 * i + 2] - target[2];
    const far = away - (B[0] * x + B[1] * y + B[2] * z);
    if (far < near) continue;
    const u = Math.round(width / 2 + (focal * (R[0] * x + R[1] * y)) / far);
    const v = Math.round(height / 2 - (focal * (U[0] * x + U[1] * y + U[2] * z)) / far);
    splat(buffers, i, u, v, Math.min(5 * ratio, Math.max(0.55 * ratio, size / far)), far);
  }
}

function splat({ seen, depth, width, height }, i, u, v, radius, far) {
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
function shadeDepthJumps({ seen, depth, shade, width, height }, ratio) {
  const beside = Math.max(1, Math.round(ratio));
  for (let v = 0, at = 0; v < height; v++) {
    for (let u = 0; u < width; u++, at++) {
      if (seen[at] < 0) continue;
      const here = Math.log(depth[at]);
      let jump = 0;
      if (u >= beside) jump += Math.max(0, here - Math.log(depth[at - beside]));
      if (u + beside < width) jump += Math.max(0, here - Math.log(depth[at + beside]));
      if (v >= beside) jump += Math.max(0, here - Math.log(depth[at - beside * width]));
      if (v + beside < height) jump += Math.max(0, here - Math.log(depth[at + beside * width]));
      shade[at] = Math.round(255 * Math.max(0.45, Math.exp(-3 * jump)));
    }
  }
}

function paint(canvas, { seen, shade, width, height }, colour) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
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
